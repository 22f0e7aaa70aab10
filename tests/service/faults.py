"""Faults of Redis, injected into a real server, its host name, or a proxy in front of it."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from .proxy import Proxy
from .servers import RedisServer

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
