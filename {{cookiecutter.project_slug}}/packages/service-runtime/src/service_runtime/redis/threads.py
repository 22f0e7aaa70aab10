"""One connection per thread."""

import os
import threading
from typing import Any

import redis


class ThreadClients:
    """A client for each thread that keeps its connection.

    Taking a connection from a pool and returning it is half the cost of a call.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._local = threading.local()

    def get(self) -> Any:
        """Return this thread's client.

        It reconnects at its next call if the server has closed the connection, or if there has been
        an outage since it was opened. A forked child leaves the connection to its parent.
        """
        own = self._local.__dict__
        if own.get("pid") != os.getpid():
            own.update(pid=os.getpid(), client=self._client.client())
        connection = own["client"].connection
        try:
            is_stale = connection.is_connected and connection.can_read()
        except (redis.RedisError, OSError):
            is_stale = True
        if is_stale:
            connection.disconnect()
        return own["client"]
