"""Faults of Redis, injected into a real server, its host name, or a proxy in front of it."""

import collections
import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from ..running import Service, wait_for
from .conftest import RedisServer
from .load import Load

HOST = "redis.test"
# Resolves all names as usual, except HOST: a file makes its resolution hang or fail.
SITECUSTOMIZE = """
import os, socket, time
original = socket.getaddrinfo

def getaddrinfo(host, *args, **kwargs):
    if host != {host!r}:
        return original(host, *args, **kwargs)
    while os.path.exists({folder!r} + "/hanging"):
        time.sleep(0.02)
    if os.path.exists({folder!r} + "/unknown"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return original("127.0.0.1", *args, **kwargs)

socket.getaddrinfo = getaddrinfo
"""


class Proxy:
    """Forward connections to a server, and inject faults of the network."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._dropping = threading.Event()
        self._reply_delay = 0.0
        self._reset_after: int | None = None
        self._connections: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def refuse(self) -> None:
        """Refuse new connections and close all others."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        self._close_connections()

    def listen(self) -> None:
        """Undo `refuse`."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def drop(self) -> None:
        """Drop all data in both directions, like a network that drops packets."""
        self._dropping.set()

    def delay(self, seconds: float) -> None:
        """Delay every reply."""
        self._reply_delay = seconds

    def reset(self, after: int) -> None:
        """Reset each connection after this number of bytes of its next reply."""
        self._reset_after = after

    def redirect(self, port: int) -> None:
        """Forward new connections to another server and close all others."""
        self._target = port
        self._close_connections()

    def restore(self) -> None:
        """Undo `drop`, `delay` and `reset`."""
        self._reply_delay, self._reset_after = 0.0, None
        if self._dropping.is_set():
            self._dropping.clear()
            self._close_connections()  # they have lost data

    def _close_connections(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                if self._listener.fileno() < 0:
                    return
                with contextlib.suppress(OSError, UnboundLocalError):
                    client.close()
                continue
            self._connections |= {client, server}
            for source, sink, is_reply in ((client, server, False), (server, client, True)):
                arguments = (source, sink, is_reply)
                threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if self._dropping.is_set():
                    continue
                if is_reply and self._reply_delay:
                    time.sleep(self._reply_delay)
                if is_reply and self._reset_after is not None:
                    sink.sendall(data[: self._reset_after])
                    sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._connections.discard(end)


class World:
    """A Redis behind a proxy with a host name, and a spare Redis for a failover."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("first", "second"):
            (folder / name).mkdir()
        self.server, self.spare = RedisServer(folder / "first"), RedisServer(folder / "second")
        self.server.start()
        self.spare.start()
        self.proxy = Proxy(self.server.port)
        self.url = f"redis://{HOST}:{self.proxy.port}/0"
        script = SITECUSTOMIZE.format(host=HOST, folder=str(folder))
        (folder / "sitecustomize.py").write_text(script)
        # A service needs both to resolve HOST.
        self.environment = {"REDIS_URL": self.url, "PYTHONPATH": str(folder)}

    def stop(self) -> None:
        """Stop both servers."""
        self.server.stop()
        self.spare.stop()

    def admin(self) -> redis.Redis:
        """Return a client of the first server that bypasses the proxy."""
        return redis.Redis(port=self.server.port)

    def flag(self, name: str) -> Path:
        """Return the path of a file or folder of this name."""
        return self._folder / name


@contextmanager
def refused(world: World) -> Iterator[None]:
    """Connections are refused."""
    world.proxy.refuse()
    yield
    world.proxy.listen()


@contextmanager
def hung(world: World) -> Iterator[None]:
    """The process is suspended; it executes pending commands when it continues."""
    world.server.process.send_signal(signal.SIGSTOP)
    yield
    world.server.process.send_signal(signal.SIGCONT)


@contextmanager
def black_holed(world: World) -> Iterator[None]:
    """The network drops all packets."""
    world.proxy.drop()
    yield
    world.proxy.restore()


@contextmanager
def slow(world: World) -> Iterator[None]:
    """Every reply takes longer than the clients' timeout."""
    world.proxy.delay(1)
    yield
    world.proxy.restore()


@contextmanager
def reset(world: World) -> Iterator[None]:
    """Every connection is reset in the middle of its first reply."""
    world.proxy.reset(after=3)
    yield
    world.proxy.restore()


@contextmanager
def unknown_name(world: World) -> Iterator[None]:
    """The host name does not resolve, and all connections are closed."""
    world.flag("unknown").touch()
    world.proxy.redirect(world.server.port)
    yield
    world.flag("unknown").unlink()


@contextmanager
def hanging_name(world: World) -> Iterator[None]:
    """Resolution of the host name hangs, and all connections are closed."""
    world.flag("hanging").touch()
    world.proxy.redirect(world.server.port)
    yield
    world.flag("hanging").unlink()


@contextmanager
def out_of_memory(world: World) -> Iterator[None]:
    """Redis has reached maxmemory and evicts no keys."""
    with world.admin() as admin:
        admin.config_set("maxmemory", 1)
        yield
        admin.config_set("maxmemory", 0)


@contextmanager
def read_only(world: World) -> Iterator[None]:
    """Redis has become a replica."""
    with world.admin() as admin:
        admin.replicaof("127.0.0.1", world.spare.port)
        yield
        admin.replicaof("NO", "ONE")


@contextmanager
def other_password(world: World) -> Iterator[None]:
    """The password has changed, and all connections are closed."""
    with world.admin() as admin:
        admin.config_set("requirepass", "another")
        world.proxy.redirect(world.server.port)
        yield
        admin.config_set("requirepass", "")


@contextmanager
def loading(world: World) -> Iterator[None]:
    """Redis was killed, and slowly loads an earlier snapshot."""
    with world.admin() as admin:
        for number in range(300):
            admin.set(f"filling:{number}", "x" * 100)
        admin.save()
    world.server.stop(signal.SIGKILL)
    world.server.start(
        "--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"
    )
    yield


@contextmanager
def scripts_flushed(world: World) -> Iterator[None]:
    """Redis has lost all scripts."""
    with world.admin() as admin:
        admin.script_flush()
    yield


@contextmanager
def restarted_empty(world: World) -> Iterator[None]:
    """Redis was killed and restarts without its data."""
    world.server.stop(signal.SIGKILL)
    time.sleep(0.5)
    yield
    world.server.start()


@contextmanager
def failed_over(world: World) -> Iterator[None]:
    """A replica with slightly older data replaces an unresponsive server."""
    with world.admin() as admin:
        admin.save()
    world.spare.stop()
    os.replace(world.flag("first") / "dump.rdb", world.flag("second") / "dump.rdb")
    world.spare.start()
    world.server.process.send_signal(signal.SIGSTOP)
    yield
    world.proxy.redirect(world.spare.port)


FAULTS: dict[str, Callable[[World], contextlib.AbstractContextManager[None]]] = {
    fault.__name__.replace("_", " "): fault
    for fault in (
        refused,
        hung,
        black_holed,
        slow,
        reset,
        unknown_name,
        hanging_name,
        out_of_memory,
        read_only,
        other_password,
        loading,
        scripts_flushed,
        restarted_empty,
        failed_over,
    )
}


@dataclass(frozen=True)
class Observation:
    """The effects of a fault.

    Attributes:
        statuses: number of responses by status.
        slowest: the longest response time in seconds.
        stalled: requests that took nearly a socket timeout or longer in the service, without the
            time in its queue.
        recovered: seconds from the end of the fault until all responses are cache hits.
        titles: the titles that were read after a change during the fault.
    """

    statuses: dict[int, int]
    slowest: float
    stalled: int
    recovered: float
    titles: set[str]


def observe(
    service: Service,
    world: World,
    fault: Callable[[World], contextlib.AbstractContextManager[None]],
    timeout: float,
    **header: str,
) -> Observation:
    """Inject a fault into a service under load, and change a blog during the fault."""

    def change(title: str) -> None:
        response = service.request("/api/blogs/1/", "PATCH", {"title": title}, **header)
        assert response.status == 200, response

    def read() -> tuple[str, bool]:
        response = service.get("/api/blogs/1/")
        return response.json()["title"], response.headers["Cache-Status"].endswith("; hit")

    titles: set[str] = set()

    def is_hit() -> bool:
        title, hit = read()
        titles.add(title)
        return hit

    change("Before")
    wait_for(lambda: read() == ("Before", True), "a hit")
    earlier = len(service.lines())  # including the slow sign-in
    with Load(service, "/api/blogs/") as load:
        load.more(50)
        load.responses.clear()
        with fault(world):
            load.more(20)
            change("During")
            for _ in range(20):
                is_hit()
            load.more(100)
        ended = time.monotonic()
        wait_for(is_hit, "a hit after the fault")
        recovered = time.monotonic() - ended
        # Each worker recovers separately, so one hit is not enough.
        while not all(is_hit() for _ in range(20)):
            recovered = time.monotonic() - ended
            assert recovered < 60
        load.more(50)
    durations = [response.duration for response in load.responses]
    return Observation(
        dict(collections.Counter(response.status for response in load.responses)),
        max(durations),
        sum(line.get("duration_ms", 0) > timeout * 900 for line in service.lines()[earlier:]),
        recovered,
        titles,
    )
