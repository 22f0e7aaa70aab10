"""What operators ask of the throttles: who is limited where, what a client has left, and resets.

`manage.py throttles` prints what these functions return.
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

# Those of throttles that override get_cache_key or get_ident, and of usernames.
_KINDS = {"key", "ident", "username"}


class ScopeInfo(NamedTuple):
    """A scope: its rate, where that came from, and the views under it."""

    name: str
    rate: str
    source: str
    views: list[str]


class Usage(NamedTuple):
    """What a client has left in one window of a scope."""

    scope: str
    window: Window
    outcome: Outcome


def list_scopes() -> list[ScopeInfo]:
    """Return all scopes by name, those of tiers after the scope that they vary."""
    views: dict[str, list[str]] = {}
    for found in throttled_views():
        for scope in [] if found.has_own_rate else found.scopes:
            views.setdefault(scope, []).append(f"{found.view} /{found.route}")
    rates = configured_rates()
    return [
        ScopeInfo(
            scope,
            text or "off",
            variable(scope) if variable(scope) in settings.THROTTLE_VARIABLES else "settings",
            views.get(scope, []),
        )
        for scope, text in sorted(rates.items())
    ]


def parse_client(text: str) -> str:
    """Return a client as the throttles name it.

    `ip:ADDRESS`, `user:ID`, `username:NAME` for sign-ins, or as events name it: `key:…`, `ident:…`,
    `username:#…`, and what your hook returns.

    Raises:
        ValueError: a sentence that names the text and the rule.
    """
    kind, _, name = text.partition(":")
    if kind == "ip":
        address = parse_address(name.removesuffix("/64"))
        if address is None and text != UNKNOWN:
            raise ValueError(f"{name!r} is not an IP address.")
        return client_of_address(address)
    if kind == "user":
        try:
            user = get_user_model()._default_manager.get(pk=name)
        except (ValueError, ValidationError, ObjectDoesNotExist):
            raise ValueError(f"No user has the id {name!r}.") from None
        return f"user:{user.pk}"
    if kind == "username" and not name.startswith("#"):
        if client := client_of_username(name):
            return client
    elif name and (kind in _KINDS or settings.THROTTLING_GET_CLIENT):
        return text
    raise ValueError(f"{text!r} is not a client such as ip:203.0.113.7, user:7 or username:ada.")


def usage(client: str, scope: str | None = None, tier: str | None = None) -> list[Usage]:
    """Return what a client has left in a scope, or in all of them; nothing is counted.

    Raises:
        ValueError: there is no such scope.
        redis.RedisError: Redis does not answer.
    """
    windows = [(name, window) for name in _names(scope) for window in _rate(name, tier).windows]
    limits = [
        Limit(key_of(name, client, window.period), *window)
        for name, window in windows
        if window != BLOCK
    ]
    outcomes = iter(limiter().take(limits, cost=0) if limits else [])
    return [
        Usage(name, window, BLOCKED if window == BLOCK else next(outcomes))
        for name, window in windows
    ]


def reset(client: str, scope: str | None = None) -> int:
    """Give a client back all that it has used in a scope, or in all; return the windows reset.

    Raises:
        ValueError: there is no such scope.
        redis.RedisError: Redis does not answer.
    """
    rates = configured_rates()
    chosen = _names(scope)
    periods = {
        (name, window.period)
        for key, text in rates.items()
        for name in [key.partition(TIER_SEPARATOR)[0]]
        if name in chosen
        for window in parse_rate(text or "off").windows
        if window != BLOCK
    }
    keys = [key_of(name, client, period) for name, period in sorted(periods)]
    return limiter().reset(keys) if keys else 0


def _names(scope: str | None) -> list[str]:
    names = sorted({key.partition(TIER_SEPARATOR)[0] for key in configured_rates()})
    if scope is None:
        return names
    if scope not in names:
        raise ValueError(f"{scope!r} is not a scope; there are {', '.join(names)}.")
    return [scope]


def _rate(scope: str, tier: str | None) -> Rate:
    return rate_of(configured_rates(), scope, tier) or Rate(())
