"""What can happen to a Redis, made to happen to a real one behind a proxy that can misbehave."""

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
# Names are looked up as usual but for one, which a file can keep from resolving.
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
    """Forwards connections to a server, until told to do otherwise."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._frozen = threading.Event()
        self._delay = 0.0
        self._reset_after: int | None = None
        self._connections: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def refuse(self) -> None:
        """Close everything."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        self._drop()

    def listen(self) -> None:
        """Undo `refuse`."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def swallow(self) -> None:
        """Take what is sent and let nothing through, as a network that drops packets does."""
        self._frozen.set()

    def slow_down(self, seconds: float) -> None:
        """Let every reply wait."""
        self._delay = seconds

    def cut(self, after: int) -> None:
        """Reset each connection after so many bytes of its replies, from now on."""
        self._reset_after = after

    def lead_to(self, port: int) -> None:
        """Lead new connections to another server, and break the others."""
        self._target = port
        self._drop()

    def behave(self) -> None:
        """Undo everything but `refuse` and `lead_to`."""
        self._delay, self._reset_after = 0.0, None
        if self._frozen.is_set():
            self._frozen.clear()
            self._drop()  # what was swallowed is gone

    def _drop(self) -> None:
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
                if self._frozen.is_set():
                    continue
                if is_reply and self._delay:
                    time.sleep(self._delay)
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
    """A Redis behind a proxy, another one that may take its place, and a name that leads there."""

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
        # What a service needs to find the name.
        self.environment = {"REDIS_URL": self.url, "PYTHONPATH": str(folder)}

    def stop(self) -> None:
        """End both servers."""
        self.server.stop()
        self.spare.stop()

    def admin(self) -> redis.Redis:
        """Return a client of the first server that no fault of the proxy concerns."""
        return redis.Redis(port=self.server.port)

    def flag(self, name: str) -> Path:
        """Return the file that keeps the name from resolving."""
        return self._folder / name


@contextmanager
def refused(world: World) -> Iterator[None]:
    """Nobody listens."""
    world.proxy.refuse()
    yield
    world.proxy.listen()


@contextmanager
def hung(world: World) -> Iterator[None]:
    """The process is stopped, and what it was sent runs when it goes on."""
    world.server.process.send_signal(signal.SIGSTOP)
    yield
    world.server.process.send_signal(signal.SIGCONT)


@contextmanager
def black_holed(world: World) -> Iterator[None]:
    """The network takes everything and delivers nothing."""
    world.proxy.swallow()
    yield
    world.proxy.behave()


@contextmanager
def slow(world: World) -> Iterator[None]:
    """Every reply takes longer than the clients wait."""
    world.proxy.slow_down(1)
    yield
    world.proxy.behave()


@contextmanager
def reset(world: World) -> Iterator[None]:
    """Every connection breaks in the middle of its first reply."""
    world.proxy.cut(after=3)
    yield
    world.proxy.behave()


@contextmanager
def unknown_name(world: World) -> Iterator[None]:
    """The name does not resolve, and the connections are gone."""
    world.flag("unknown").touch()
    world.proxy.lead_to(world.server.port)
    yield
    world.flag("unknown").unlink()


@contextmanager
def hanging_name(world: World) -> Iterator[None]:
    """Resolving the name takes for ever, and the connections are gone."""
    world.flag("hanging").touch()
    world.proxy.lead_to(world.server.port)
    yield
    world.flag("hanging").unlink()


@contextmanager
def out_of_memory(world: World) -> Iterator[None]:
    """Redis is full, and may evict nothing."""
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
    """The password was changed, and the connections are gone."""
    with world.admin() as admin:
        admin.config_set("requirepass", "another")
        world.proxy.lead_to(world.server.port)
        yield
        admin.config_set("requirepass", "")


@contextmanager
def loading(world: World) -> Iterator[None]:
    """Redis was killed, and takes its time to load a snapshot from before."""
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
    """Redis has forgotten all scripts."""
    with world.admin() as admin:
        admin.script_flush()
    yield


@contextmanager
def restarted_empty(world: World) -> Iterator[None]:
    """Redis was killed and has come back without its data."""
    world.server.stop(signal.SIGKILL)
    time.sleep(0.5)
    yield
    world.server.start()


@contextmanager
def failed_over(world: World) -> Iterator[None]:
    """A replica that was a little behind has taken the place of a server that is gone."""
    with world.admin() as admin:
        admin.save()
    world.spare.stop()
    os.replace(world.flag("first") / "dump.rdb", world.flag("second") / "dump.rdb")
    world.spare.start()
    world.server.process.send_signal(signal.SIGSTOP)
    yield
    world.proxy.lead_to(world.spare.port)


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
    """What a fault has cost.

    Attributes:
        statuses: how many answers had each status.
        slowest: the longest answer in seconds.
        stalled: requests that took nearly a socket's timeout or longer in the service; a client
            may also wait behind others.
        recovered: seconds from the fault's end until every answer came from the cache.
        seen: the titles that were read after one was changed during the fault.
    """

    statuses: dict[int, int]
    slowest: float
    stalled: int
    recovered: float
    seen: set[str]


def observe(
    service: Service,
    world: World,
    fault: Callable[[World], contextlib.AbstractContextManager[None]],
    timeout: float,
    **header: str,
) -> Observation:
    """Put a service under load, have a fault happen and end, and change a blog meanwhile."""

    def change(title: str) -> None:
        answer = service.request("/api/blogs/1/", "PATCH", {"title": title}, **header)
        assert answer.status == 200, answer

    def read() -> tuple[str, bool]:
        answer = service.get("/api/blogs/1/")
        return answer.json()["title"], answer.headers["Cache-Status"].endswith("; hit")

    seen = set()

    def is_hit() -> bool:
        title, hit = read()
        seen.add(title)
        return hit

    change("Before")
    wait_for(lambda: read() == ("Before", True), "a hit")
    earlier = len(service.lines())  # to sign in takes long by itself
    with Load(service, "/api/blogs/") as load:
        load.more(50)
        load.answers.clear()
        with fault(world):
            load.more(20)
            change("During")
            for _ in range(20):
                is_hit()
            load.more(100)
        ended = time.monotonic()
        wait_for(is_hit, "the cache to be used again")
        recovered = time.monotonic() - ended
        # Each worker recovers by itself, so one hit does not speak for both.
        while not all(is_hit() for _ in range(20)):
            recovered = time.monotonic() - ended
            assert recovered < 60
        load.more(50)
    durations = [answer.duration for answer in load.answers]
    return Observation(
        dict(collections.Counter(answer.status for answer in load.answers)),
        max(durations),
        sum(line.get("duration_ms", 0) > timeout * 900 for line in service.lines()[earlier:]),
        recovered,
        seen,
    )
