"""Signatures of cached values: write access to Redis is not enough to choose what is unpickled.

A signature is a keyed BLAKE2b (RFC 7693) of the value and of the place where it is stored. A value
that was moved to another key is as invalid as one that was altered. The key is derived from
SECRET_KEY; signatures by SECRET_KEY_FALLBACKS are valid too.
"""

import pickle
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from typing import Any

from django.utils.crypto import salted_hmac

from ..conf import settings

SIZE = 16  # bytes


class InvalidSignatureError(ValueError):
    """The value was not signed by this service for this place."""


def sign(place: bytes, value: bytes) -> bytes:
    """Return the signature followed by the value.

    Args:
        place: where the value is stored, and anything else the signature covers.
        value: the bytes to sign.
    """
    return _signature(settings.SECRET_KEY, place, value) + value


def unsign(place: bytes, signed: bytes) -> bytes:
    """Return a value without its signature.

    Raises:
        InvalidSignatureError: the signature is missing, or is for another value or place.
    """
    signature, value = signed[:SIZE], signed[SIZE:]
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if compare_digest(signature, _signature(secret, place, value)):
            return value
    raise InvalidSignatureError(f"The value at {place!r} was not signed by this service.")


def dumps(place: bytes, value: Any) -> bytes:
    """Return a pickled, signed value."""
    return sign(place, pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


def loads(place: bytes, signed: bytes) -> Any:
    """Return the value that was passed to `dumps`.

    Raises:
        InvalidSignatureError: see `unsign`; nothing was unpickled.
        Exception: the value's class cannot read it, for example in another release.
    """
    return pickle.loads(unsign(place, signed))  # noqa: S301 - the signature was verified


def _signature(secret: str | bytes, place: bytes, value: bytes) -> bytes:
    digest: Any = _keyed(secret).copy()
    digest.update(b"%d:%b" % (len(place), place))
    digest.update(value)
    return bytes(digest.digest())


@lru_cache(maxsize=16)
def _keyed(secret: str | bytes) -> Any:
    """Return a digest initialized with the key."""
    key = salted_hmac(
        "service_runtime.caching.signing", b"", secret=secret, algorithm="sha256"
    ).digest()
    return blake2b(digest_size=SIZE, key=key)
