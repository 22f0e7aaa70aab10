"""The names under which cacheops keeps things in Redis."""

import hashlib
import platform
from functools import cache
from pathlib import Path

import django
from django.conf import settings


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
    """Keep apart what another service has stored, or another mode, whose keys have other forms."""
    mode = "io" if settings.CACHEOPS_INSIDEOUT else "std"
    return Prefix(f"{namespace()}{mode}:")


@cache
def release() -> str:
    """Return a digest of what decides how a result looks: the code, Django and Python.

    Dependencies count by the lock file, where there is one.
    """
    digest = hashlib.blake2b(digest_size=6)
    digest.update(f"{django.__version__} {platform.python_version()}".encode())
    package = Path(__file__).parents[2]
    paths = sorted(path for path in package.rglob("*") if path.suffix in {".py", ".html", ".lua"})
    paths += [package.with_name("pyproject.toml"), package.with_name("uv.lock")]
    for path in paths:
        if path.is_file():
            digest.update(str(path.relative_to(package.parent)).encode() + path.read_bytes())
    return digest.hexdigest()
