"""Find the address of the client behind any number of proxies."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.http import HttpRequest

from .conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(request: HttpRequest) -> Address | None:
    """Return the address of a request's client: `address_of` its environment."""
    return address_of(request.META)


def address_of(environ: Mapping[str, Any]) -> Address | None:
    """Return the address of the client in a WSGI environment, as our outermost proxy sees it.

    That proxy is NUM_PROXIES hops away. Entries of X-Forwarded-For to the left of its entry come
    from the client and are ignored. The result is the peer's address if the header has fewer
    entries (it did not pass all proxies), or no address in that place (no proxy wrote it).

    Returns:
        the address, with IPv4-mapped IPv6 as IPv4; None for a peer without one (a Unix socket).
    """
    return forwarded_address(environ) or parse_address(environ.get("REMOTE_ADDR", ""))


def forwarded_address(environ: Mapping[str, Any]) -> Address | None:
    """Return the address that our outermost proxy wrote into a WSGI environment, or None."""
    hops: int = settings.NUM_PROXIES
    if not hops:
        return None
    # Several header lines arrive as one, joined by commas.
    entries = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
    return parse_address(entries[-hops][:64]) if len(entries) >= hops else None


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """Return the address in a text, without its port or zone; None if there is none."""
    text = text.strip()
    if text.startswith("["):  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 203.0.113.7:443
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
