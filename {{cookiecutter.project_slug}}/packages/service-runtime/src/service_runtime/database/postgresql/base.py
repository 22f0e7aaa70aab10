"""A database backend for ENGINE: Django's PostgreSQL with the limits of `service_runtime.database`.

Django's own check of a pooled connection is a round trip for each request, and psycopg's pool waits
a second after two failed checks. So connections that the server has closed are recognized by their
socket instead.
"""

import select
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.errors import _WaitTimeout
from psycopg_pool import PoolTimeout

from ...conf import settings
from ..circuit_breaker import CircuitBreaker
from ..options import response_seconds, statement_options

RECENT_SECONDS = 5.0  # a server that has responded since then responds


class UnresponsiveError(psycopg.OperationalError):
    """The server has not responded in time: it hangs, or the network to it does."""


class Connection(psycopg.Connection[Any]):
    """A connection that does not wait for a server that has stopped responding.

    Attributes:
        on_unresponsive: called with the error before it is raised.
        opened_at: monotonic seconds.
        waiting_since: when it has sent a statement that the server has not responded to.
        responded_at: when the server has last responded.
    """

    on_unresponsive: Callable[[psycopg.OperationalError], object] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opened_at = self.responded_at = time.monotonic()
        self.waiting_since: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """See psycopg; a connection whose server does not respond is closed.

        Raises:
            UnresponsiveError: the server has not responded in time.
        """
        limit = response_seconds()
        self.waiting_since = time.monotonic()
        try:
            result = super().wait(gen, interval, timeout or limit)
            self.responded_at = time.monotonic()
            return result
        except _WaitTimeout:
            if timeout:
                raise
            self.close()
            error = UnresponsiveError(f"The server did not respond for {limit} seconds.")
            if self.on_unresponsive:
                self.on_unresponsive(error)
            raise error from None
        finally:
            self.waiting_since = None

    def is_closed_by_server(self) -> bool:
        """Return whether the socket of an idle connection has something to read: its end."""
        try:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN)
            return bool(poll.poll(0))
        except psycopg.OperationalError:  # another thread has closed it
            return True

    def is_responsive(self, seconds: float) -> bool:
        """Return whether the server responds to this connection within so many seconds."""
        now, waiting_since = time.monotonic(), self.waiting_since
        if waiting_since is not None:
            return now - waiting_since < seconds
        return now - self.responded_at < RECENT_SECONDS and not self.is_closed_by_server()


@cache
def circuit_breaker(alias: str) -> CircuitBreaker:
    """Return the circuit breaker of a database."""
    return CircuitBreaker(alias, Connection.connect)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's wrapper with a circuit breaker, and a pool of such connections."""

    @property
    def pool(self) -> Any:
        """See Django."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if isinstance(options, dict):
            options.setdefault("connection_class", Connection)
        return super().pool

    def get_connection_params(self) -> dict[str, Any]:
        """Return the parameters for psycopg."""
        parameters: dict[str, Any] = super().get_connection_params()
        if limits := statement_options():
            parameters["options"] = f"{parameters.get('options', '')} {limits}".strip()
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Return a connection that the server has not closed.

        Raises:
            psycopg.OperationalError: there is none, the circuit is open, or all connections wait
                for the server.
        """
        circuit = circuit_breaker(self.alias)
        circuit.check()
        if (pool := self.pool) and circuit.waiting(pool.timeout) >= pool.max_size:
            raise PoolTimeout("All connections of this process wait for the server.")
        try:
            while _is_stale(
                connection := super().get_new_connection(conn_params), circuit.suspect_before
            ):
                connection.close()
                self.pool.putconn(connection)
        except psycopg.OperationalError as error:
            is_busy = isinstance(error, PoolTimeout) and circuit.size() >= pool.max_size
            # If another connection responds, the server has no more to give.
            if not is_busy and not circuit.is_responsive(settings.DATABASE_POOL_TIMEOUT):
                circuit.trip(error, conn_params)
            raise
        if isinstance(connection, Connection):
            circuit.add(connection)
            connection.on_unresponsive = lambda error: circuit.suspect(error, conn_params)
        return connection


def _is_stale(connection: Any, suspect_before: float) -> bool:
    return isinstance(connection, Connection) and (
        connection.opened_at < suspect_before or connection.is_closed_by_server()
    )
