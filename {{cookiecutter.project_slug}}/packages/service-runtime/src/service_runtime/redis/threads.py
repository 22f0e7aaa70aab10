"""One connection per thread."""

import os
import threading
from typing import Any

import redis

Command = tuple[Any, ...]
MAX_PACKED = 4096
_packed: dict[Command, bytes] = {}


class _Forks:
    """The number of forks between the first process and this one."""

    number = 0

    @classmethod
    def count(cls) -> None:
        cls.number += 1


os.register_at_fork(after_in_child=_Forks.count)


class ThreadClients:
    """A client for each thread that keeps its connection.

    Taking a connection from a pool and returning it is half the cost of a call, and redis-py's
    bookkeeping around a command is half of the rest.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._local = threading.local()

    def get(self) -> Any:
        """Return this thread's client.

        It reconnects at its next call if the server has closed the connection, or if there has been
        an outage since it was opened. A forked child leaves the connection to its parent.
        """
        client = self._own()
        connection = client.connection
        try:
            is_stale = connection.is_connected and connection.can_read()
        except (redis.RedisError, OSError):
            is_stale = True
        if is_stale:
            connection.disconnect()
        return client

    def _own(self) -> Any:
        own = self._local.__dict__
        if own.get("forks") != _Forks.number:
            own.update(forks=_Forks.number, client=self._client.client())
        return own["client"]

    def execute(self, *command: Any) -> Any:
        """Return the reply to a command. It sends the thread's `Appended` commands, too.

        It does not check whether the server has closed the connection, which would need a system
        call: the circuit breaker repeats the call on a new connection.

        Raises:
            redis.RedisError: Redis is unavailable or rejects the command.
        """
        appended: Appended | None = self._local.__dict__.pop("appended", None)
        connection = self._own().connection
        if connection.is_outdated():
            connection.disconnect()
        packed = [*connection.pack_command(*command)]
        commands = () if appended is None else appended.commands
        packed += [_pack(connection, each) for each in commands]
        reply, *others = _execute_all(connection, b"".join(packed), 1 + len(commands))
        if appended is not None:
            appended.replies = others
        if isinstance(reply, Exception):
            raise reply
        return reply

    def append(self, *commands: Command) -> "Appended":
        """Return a context in which this thread's next call sends these commands as well."""
        return Appended(self._local.__dict__, commands)


class Appended:
    """Commands that need no separate round trip.

    Attributes:
        commands: the commands.
        replies: their replies, a redis.ResponseError where Redis rejected one; or None.
    """

    replies: list[Any] | None = None

    def __init__(self, own: dict[str, Any], commands: tuple[Command, ...]) -> None:
        self._own, self.commands = own, commands

    def __enter__(self) -> "Appended":
        self._own["appended"] = self
        return self

    def __exit__(self, *args: object) -> None:
        self._own.pop("appended", None)


def _pack(connection: Any, command: Command) -> bytes:
    """Return a command as it is sent. Requests for one URL append the same ones."""
    packed = _packed.get(command)
    if packed is None:
        if len(_packed) >= MAX_PACKED:
            _packed.clear()
        _packed[command] = packed = b"".join(connection.pack_command(*command))
    return packed


def _execute_all(connection: Any, packet: bytes, count: int) -> list[Any]:
    """Send some commands in one packet and return their replies, errors as values."""

    def execute() -> list[Any]:
        try:
            connection.send_packed_command([packet])
            replies = [_reply(connection) for _ in range(count)]
        except BaseException:  # the next call must not get a reply that was not read
            connection.disconnect()
            raise
        for reply in replies:
            if isinstance(reply, redis.exceptions.ReadOnlyError):
                raise reply  # which opens the circuit
        return replies

    replies: list[Any] = connection.retry.call_with_retry(execute, connection.disconnect)
    return replies


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error
