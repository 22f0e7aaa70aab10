"""The Redis keys of cacheops.

`Prefix.__add__` stays: cacheops offers no hook that separates the keys of results, which depend on
the release, from the keys that invalidate them, which releases share during a rollout. Without it,
each of the three functions that build keys would have to be replaced.
"""

import hashlib
import platform
from contextlib import suppress
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import redis

from ..conf import settings
from ..redis import client

# The run id of a server that hides it.
UNKNOWN = "unknown"


class Prefix(str):
    """The prefix of cacheops' keys, of which there are two kinds.

    Concatenation (`prefix + "q:..."`) makes the key of a result. Only the release that stored it
    may read it: another one may have other fields, another Django or another Python.

    Formatting (`f"{prefix}conj:..."`) makes a key that invalidates results. All releases share it.
    """

    __slots__ = ()

    def __add__(self, name: str) -> str:
        return f"{self}{release()}:{name}"


def namespace() -> str:
    """Return the prefix of all of this service's cacheops keys."""
    return f"{settings.CACHE_KEY_PREFIX}:cacheops:"


def cacheops_prefix(query: object = None) -> Prefix:
    """Return the prefix for this service, and for the present run of the Redis server.

    Data from before a restart may be older than the invalidations since. It is never read again.
    """
    return Prefix(f"{namespace()}{Server.run_id or Server.identify()}:")


class Server:
    """The Redis server that this process knows."""

    run_id = ""
    _connections = -1

    @classmethod
    def verify(cls, connections: int) -> None:
        """Identify the server again if a connection to it has been opened since the last time.

        Only cacheops' connections notice a restart themselves.

        Args:
            connections: how many connections have been opened, from its circuit breaker.

        Raises:
            redis.RedisError: the server is unavailable.
        """
        if connections != cls._connections:
            cls.run_id = run_id_of(client(settings.CACHEOPS_REDIS))
            cls._connections = connections

    @classmethod
    def identify(cls) -> str:
        """Return and remember the run id of the server; "" while it is unavailable."""
        with suppress(redis.RedisError):
            cls.run_id = run_id_of(client(settings.CACHEOPS_REDIS))
        return cls.run_id


def run_id_of(server: redis.Redis) -> str:
    """Return an id that changes when a server is restarted, or replaced by another one.

    Raises:
        redis.RedisError: the server is unavailable.
    """
    try:
        information: Any = server.info("server")
    except redis.exceptions.NoPermissionError:
        return UNKNOWN
    return str(information.get("run_id", UNKNOWN))[:12]


@cache
def release() -> str:
    """Return a digest of everything that shapes a result: the code, its dependencies, Python.

    The code is this package, and every top-level module that INSTALLED_APPS and ROOT_URLCONF name
    and no installed distribution provides.
    """
    digest = hashlib.blake2b(platform.python_version().encode(), digest_size=6)
    for distribution in sorted(f"{d.name} {d.version}" for d in metadata.distributions()):
        digest.update(distribution.encode())
    names = {name.partition(".")[0] for name in (*settings.INSTALLED_APPS, settings.ROOT_URLCONF)}
    own = names - metadata.packages_distributions().keys() | {__package__.partition(".")[0]}
    for name in sorted(own):
        module: Any = import_module(name)
        for root in map(Path, getattr(module, "__path__", None) or [module.__file__]):
            for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
                if path.is_file() and path.suffix != ".pyc":
                    digest.update(str(path.relative_to(root.parent)).encode() + path.read_bytes())
    return digest.hexdigest()
