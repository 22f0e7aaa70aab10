"""Functions for operators: list scopes, show a client's usage, and reset it.

`manage.py throttles` prints their results.
"""

from typing import NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError

from ..client_address import parse_address
from ..conf import settings
from ..rates import BLOCK, TIER_SEPARATOR, Rate, Window, parse_rate, rate_of, variable
from .decisions import BLOCKED, configured_rates, key_of, limiter
from .identity import UNKNOWN, client_of_address
from .limiter import Limit, Outcome
from .usernames import client_of_username
from .views import throttled_views

# The prefixes of clients by get_cache_key, get_ident and username.
_PREFIXES = {"key", "ident", "username"}


class ScopeInfo(NamedTuple):
    """A scope with its rate, the source of the rate, and the views that it throttles."""

    name: str
    rate: str
    source: str
    views: list[str]


class Usage(NamedTuple):
    """The usage of a client in one window of a scope."""

    scope: str
    window: Window
    outcome: Outcome


def list_scopes() -> list[ScopeInfo]:
    """Return all scopes by name; the scopes of tiers follow their base scope."""
    views = [view for view in throttled_views() if not view.has_own_rate]
    return [
        ScopeInfo(
            scope,
            text or "off",
            variable(scope) if variable(scope) in settings.THROTTLE_VARIABLES else "settings",
            [view.name for view in views if scope in view.scopes],
        )
        for scope, text in sorted(configured_rates().items())
    ]


def parse_client(text: str) -> str:
    """Return a client in the form that the throttles use.

    Accepts `ip:ADDRESS`, `user:ID`, `username:NAME` (for sign-ins), the clients in events (`key:…`,
    `ident:…`, `username:#…`, `#…`), and what the hook THROTTLING_GET_CLIENT returns.

    Raises:
        ValueError: the text is not a client; the message says why.
    """
    kind, _, name = text.partition(":")
    if kind == "ip":
        address = parse_address(name.removesuffix("/64"))
        if address is None and text != UNKNOWN:
            raise ValueError(f"{name!r} is not an IP address.")
        return client_of_address(address)
    if kind == "user":
        try:
            return f"user:{get_user_model()._default_manager.get(pk=name).pk}"
        except (ValueError, ValidationError, ObjectDoesNotExist):
            raise ValueError(f"No user has the id {name!r}.") from None
    if kind == "username" and not name.startswith("#"):
        if client := client_of_username(name):
            return client
    elif text.startswith("#") or (name and (kind in _PREFIXES or settings.THROTTLING_GET_CLIENT)):
        return text
    raise ValueError(f"{text!r} is not a client such as ip:203.0.113.7, user:7 or username:ada.")


def usage(client: str, scope: str | None = None, tier: str | None = None) -> list[Usage]:
    """Return the usage of a client in a scope, or in all scopes; count nothing.

    Raises:
        ValueError: the scope does not exist.
        redis.RedisError: Redis is unavailable.
    """
    return [
        Usage(name, window, _outcome(key_of(name, client, window.period), window))
        for name in _names(scope)
        for window in (rate_of(configured_rates(), name, tier) or Rate(())).windows
    ]


def _outcome(key: str, window: Window) -> Outcome:
    return BLOCKED if window == BLOCK else limiter().take([Limit(key, *window)], cost=0)[0]


def reset(client: str, scope: str | None = None) -> int:
    """Reset the usage of a client in a scope, or in all scopes; return the number of windows.

    Raises:
        ValueError: the scope does not exist.
        redis.RedisError: Redis is unavailable.
    """
    names = _names(scope)
    keys = {
        key_of(name, client, window.period)
        for rated, text in configured_rates().items()
        for window in parse_rate(text or "off").windows
        if (name := rated.partition(TIER_SEPARATOR)[0]) in names and window != BLOCK
    }
    return limiter().reset(sorted(keys)) if keys else 0


def _names(scope: str | None) -> list[str]:
    """Return the names of all scopes, or the one scope if it exists."""
    names = sorted({rated.partition(TIER_SEPARATOR)[0] for rated in configured_rates()})
    if scope is None:
        return names
    if scope not in names:
        raise ValueError(f"{scope!r} is not a scope. The scopes are {', '.join(names)}.")
    return [scope]
