"""The address of the client behind any number of proxies."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.http import HttpRequest

from .conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(request: HttpRequest) -> Address | None:
    """Return the address of the client, as the outermost proxy of ours saw it.

    That proxy is NUM_PROXIES hops away, and what stands left of its entry in X-Forwarded-For was
    written by the client. A header with fewer entries did not pass all proxies, and one with
    something else than an address in that place is no proxy's: then the peer's address counts.

    Returns:
        the address, with IPv4-mapped IPv6 as IPv4; None for a peer without one (a Unix socket).
    """
    peer: str = request.META.get("REMOTE_ADDR", "")
    return forwarded_address(request.META) or parse_address(peer)


def forwarded_address(environ: Mapping[str, Any]) -> Address | None:
    """Return the address that our outermost proxy has written into a WSGI environment, if any."""
    hops: int = settings.NUM_PROXIES
    if not hops:
        return None
    # A header sent in several lines arrives as one, joined by commas.
    entries = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
    return parse_address(entries[-hops][:64]) if len(entries) >= hops else None


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """Parse an address, with a port or a zone or without; None for anything else."""
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
