"""Identify the client that a request is counted for."""

import hashlib
import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

from ..client_address import Address, address_of, client_address, forwarded_address
from ..conf import settings

UNKNOWN = "ip:unknown"
MAX_NAME = 128
MAX_CLIENT = 256  # a prefix, and a name or the key of a user


@lru_cache(maxsize=4096)
def client_of_address(address: Address | None) -> str:
    """Return the client of an address: `ip:203.0.113.7`, or the /64 of `ip:2001:db8::/64`.

    A host with one address of an IPv6 /64 can use all of them.
    """
    if address is None:
        return UNKNOWN
    if address.version == 6:
        return f"ip:{ipaddress.ip_network((address, 64), strict=False)}"
    return f"ip:{address}"


def client_of(request: HttpRequest, user: Any) -> str:
    """Return the client that a request is counted for.

    The hook THROTTLING_GET_CLIENT takes precedence. If it is not set or returns None, the client is
    the user (`user:7`), or the address of an anonymous client. The prefixes prevent collisions.
    """
    client = _call(settings.THROTTLING_GET_CLIENT, request)
    if client is not None:
        return safe_name(str(client))
    if user is not None and user.is_authenticated:
        return f"user:{user.pk}"
    return client_of_address(client_address(request))


def safe_name(text: str) -> str:
    """Return text for use in a Redis key: quoted, and hashed if it is long.

    Different texts have different names, since quoting leaves no `#`.
    """
    name = quote(text, safe=":/.@-_+ ", errors="surrogatepass")
    if len(name) <= MAX_NAME:
        return name
    return "#" + hashlib.sha256(name.encode()).hexdigest()


def stored_name(client: str) -> str:
    """Return the name of a client in Redis and in events: a keyed hash if it is long or unsafe.

    Hooks can return anything that a request contains. A name that was returned before is returned
    unchanged. The hash is keyed, so that no client can choose the name of another one.
    """
    # Braces, and an empty name, would spread a client's keys over the slots of a Redis Cluster.
    has_braces = "{" in client or "}" in client
    if 0 < len(client) <= MAX_CLIENT and client.isprintable() and not has_braces:
        return client
    encoded = client.encode("utf-8", "surrogatepass")
    return f"#{salted_hmac(__name__, encoded, algorithm='sha256').hexdigest()}"


def tier_of(request: HttpRequest) -> str | None:
    """Return the caller's tier by the hook THROTTLING_GET_TIER, or None."""
    return _call(settings.THROTTLING_GET_TIER, request)


def is_exempt(environ: Mapping[str, Any]) -> bool:
    """Return whether the client of a WSGI environment is in THROTTLING_EXEMPT_NETWORKS."""
    networks = settings.THROTTLING_EXEMPT_NETWORKS
    if not networks:
        return False
    is_forwarded = settings.NUM_PROXIES and "HTTP_X_FORWARDED_FOR" in environ
    if is_forwarded and not forwarded_address(environ):
        return False  # the peer is a proxy that did not report its client
    address = address_of(environ)
    return address is not None and any(address in network for network in networks)


def _call(hook: str | None, request: HttpRequest) -> str | None:
    return import_string(hook)(request) if hook else None
