"""The names under which cacheops keeps things in Redis."""

import hashlib
import platform
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import redis

from ..conf import settings
from ..redis import client

# Of a server that does not tell its run id.
UNKNOWN = "unknown"


class Prefix(str):
    """What cacheops puts in front of its keys, which are of two kinds.

    What it adds to a prefix (`prefix + "q:..."`) names a result. Only the release that has stored
    it may read it: another one may have other fields, another Django, another Python.

    What it formats a prefix into (`f"{prefix}conj:..."`) names what invalidates results. All
    releases that share a Redis have to see it.
    """

    __slots__ = ()

    def __add__(self, name: str) -> str:
        return f"{self}{release()}:{name}"


def namespace() -> str:
    """Return what all of this service's cacheops keys begin with."""
    return f"{settings.CACHE_KEY_PREFIX}:cacheops:"


def cacheops_prefix(query: object = None) -> Prefix:
    """Keep apart services, and what a server holds from before it was restarted or replaced.

    That may be older than what was invalidated since; it is never read again, and expires.
    """
    return Prefix(f"{namespace()}{Server.run_id or Server.ask()}:")


class Server:
    """The Redis that this process knows."""

    run_id = ""

    @classmethod
    def ask(cls) -> str:
        """Return the run id of the server, and remember it; nothing while it does not answer."""
        try:
            cls.run_id = run_id_of(client(settings.CACHEOPS_REDIS))
        except redis.RedisError:
            return ""
        return cls.run_id


def run_id_of(server: redis.Redis) -> str:
    """Return what is another one after a server was restarted, or replaced by another server.

    Raises:
        redis.RedisError: it does not answer.
    """
    try:
        information: Any = server.info("server")
    except redis.exceptions.NoPermissionError:
        return UNKNOWN
    return str(information.get("run_id", UNKNOWN))[:12]


@cache
def release() -> str:
    """Return a digest of what decides how a result looks: the code, its dependencies and Python.

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
