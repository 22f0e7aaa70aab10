"""What one Redis can do per second, measured with plain sockets from another core."""

import socket
import time
from typing import Any

import redis

CPU = ("used_cpu_sys_main_thread", "used_cpu_user_main_thread")


def capacity(url: str, *commands: list[bytes], seconds: float = 3.0, sockets: int = 50) -> float:
    """Return how often per second one Redis executes commands, with one call in flight per socket.

    This process sends from another core; a reply is at most 64 KiB.
    """
    packed = b""
    for command in commands:
        packed += b"*%d\r\n" % len(command)
        packed += b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in command)
    with redis.Redis.from_url(url) as client:
        size = reply_size(url, packed)
        client.ping()
        connections = [connected(url) for _ in range(sockets)]
        for each in connections:
            each.sendall(packed)
        before: dict[str, Any] = client.info("cpu")
        calls, started = 0, time.monotonic()
        while time.monotonic() - started < seconds:
            for each in connections:
                left = size
                while left > 0:
                    left -= len(each.recv(65536))
                each.sendall(packed)
            calls += sockets
        spent = time.monotonic() - started
        after: dict[str, Any] = client.info("cpu")
        for each in connections:
            each.close()
    busy = sum(after[name] - before[name] for name in CPU) / spent
    # The share of a core that Redis had no work is this process's.
    return calls / spent / busy


def memory_of_a_connection(url: str, client: redis.Redis, number: int = 1000) -> float:
    """Return the bytes of memory that an idle connection takes in Redis."""
    before: dict[str, Any] = client.info("memory")
    sockets = [connected(url) for _ in range(number)]
    for each in sockets:
        each.sendall(b"PING\r\n")
        each.recv(64)
    after: dict[str, Any] = client.info("memory")
    for each in sockets:
        each.close()
    return float(after["used_memory"] - before["used_memory"]) / number


def reply_size(url: str, packed: bytes) -> int:
    """Return the size of a reply, once it is complete for 50 ms."""
    with connected(url) as probe:
        probe.sendall(packed)
        probe.settimeout(0.05)
        size = 0
        try:
            while received := len(probe.recv(65536)):
                size += received
        except TimeoutError:
            return size
    return size


def connected(url: str) -> socket.socket:
    """Return a socket that is connected to Redis."""
    port = redis.connection.parse_url(url)["port"]
    return socket.create_connection(("127.0.0.1", port))
