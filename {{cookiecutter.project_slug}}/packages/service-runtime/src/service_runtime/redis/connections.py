"""Connections with bounded name resolution that do not outlive an outage."""

from typing import Any

import redis

from ..conf import settings
from .resolver import addresses


class _Connection(redis.connection.AbstractConnection):
    """A connection that its pool replaces after an outage.

    Its server's name may lead to another server by then.
    """

    _outages = 0

    def _connect(self) -> Any:
        self._outages = self.retry.outages  # type: ignore[attr-defined]
        parent: Any = super()
        connected = parent._connect()
        self.retry.connections += 1  # type: ignore[attr-defined]
        return connected

    def is_outdated(self) -> bool:
        """Return whether there has been an outage since the connection was opened."""
        return bool(self._outages != self.retry.outages)  # type: ignore[attr-defined]

    def can_read(self, timeout: float = 0) -> bool:
        """Return whether there is unexpected data, for which a pool reconnects.

        Raises:
            redis.ConnectionError: the connection is older than an outage; a pool reconnects too.
        """
        if self.is_outdated():
            raise redis.ConnectionError("The connection is older than an outage")
        return super().can_read(timeout)


class TCPConnection(_Connection, redis.Connection):
    """A connection to one of the addresses of a host."""

    def _connect(self) -> Any:
        name = self.host
        failure: Exception = OSError(f"The name {name} has no address")
        try:
            for address in addresses(name, self.port, settings.REDIS_SOCKET_TIMEOUT):
                self.host = address
                try:
                    return super()._connect()
                except OSError as error:
                    failure = error
            raise failure
        finally:
            self.host = name  # certificates are checked against the name


class TLSConnection(redis.SSLConnection, TCPConnection):
    """A TCPConnection with TLS."""


class UnixConnection(_Connection, redis.UnixDomainSocketConnection):
    """A connection to a Unix socket."""


CONNECTION_CLASSES = {"redis": TCPConnection, "rediss": TLSConnection, "unix": UnixConnection}
