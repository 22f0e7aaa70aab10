"""Who a request is counted for."""

import hashlib
import ipaddress
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest
from django.utils.module_loading import import_string

from ..client_address import Address, client_address, forwarded_address
from ..conf import settings

UNKNOWN = "ip:unknown"
MAX_NAME = 128


@lru_cache(maxsize=4096)
def client_of_address(address: Address | None) -> str:
    """Return the client of an address: `ip:203.0.113.7`, or the /64 of `ip:2001:db8::/64`.

    Whoever has one address of an IPv6 /64 has all of them.
    """
    if address is None:
        return UNKNOWN
    if address.version == 6:
        return f"ip:{ipaddress.ip_network((address, 64), strict=False)}"
    return f"ip:{address}"


def client_of(request: HttpRequest, user: Any) -> str:
    """Return whom a request is counted for.

    The hook THROTTLING_GET_CLIENT of the settings decides; where it returns None, it is the user
    (`user:7`), or the address of a client that is not signed in. The prefixes keep the name
    spaces apart.
    """
    if hook := _hook("THROTTLING_GET_CLIENT"):
        client = hook(request)
        if client is not None:
            return safe_name(str(client))
    if user is not None and user.is_authenticated:
        return f"user:{user.pk}"
    return client_of_address(client_address(request))


def safe_name(text: str) -> str:
    """Return text for use in a Redis key: quoted, and as its hash where that is long.

    Different texts have different names, since quoting leaves no `#`.
    """
    name = quote(text, safe=":/.@-_+ ", errors="surrogatepass")
    if len(name) <= MAX_NAME:
        return name
    return "#" + hashlib.sha256(name.encode()).hexdigest()


def tier_of(request: HttpRequest) -> str | None:
    """Return the tier of the caller, whose THROTTLE_<SCOPE>__<TIER> counts, or None."""
    hook = _hook("THROTTLING_GET_TIER")
    return hook(request) if hook else None


def is_exempt(request: HttpRequest) -> bool:
    """Tell whether the client's address is in THROTTLING_EXEMPT_NETWORKS."""
    networks = settings.THROTTLING_EXEMPT_NETWORKS
    if not networks:
        return False
    is_forwarded = settings.NUM_PROXIES and "HTTP_X_FORWARDED_FOR" in request.META
    if is_forwarded and not forwarded_address(request.META):
        return False  # the peer is a proxy that cannot say for whom it asks
    address = client_address(request)
    return address is not None and any(address in network for network in networks)


def _hook(setting: str) -> Callable[[HttpRequest], str | None] | None:
    path = getattr(settings, setting, None)
    return _import(path) if path else None


@cache
def _import(path: str) -> Callable[[HttpRequest], str | None]:
    hook: Callable[[HttpRequest], str | None] = import_string(path)
    return hook
