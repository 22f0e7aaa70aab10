"""Rates: the number of requests that a client can make in a number of seconds."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from .environment import Environment

PREFIX = "THROTTLE_"
TIER_SEPARATOR = "__"
MAX_LIMIT = 1_000_000_000
MAX_PERIOD = 366 * 86_400
_WINDOW = re.compile(
    r"(?P<limit>[0-9]+)(?:\s*/\s*|\s+per\s+)(?P<count>[0-9]*)\s*"
    r"(?P<unit>[smhd]|secs?|seconds?|mins?|minutes?|hrs?|hours?|days?)",
    re.IGNORECASE,
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Window(NamedTuple):
    """At most `limit` requests in any `period` of seconds."""

    limit: int
    period: int


BLOCK = Window(0, 0)  # denies every request


class Rate(NamedTuple):
    """The windows that a request must fit; without windows there is no limit.

    A shadow rate counts requests and reports those that it would deny, but denies none.
    """

    windows: tuple[Window, ...]
    shadow: bool = False


@lru_cache(maxsize=1024)
def parse_rate(text: str) -> Rate:
    """Parse `"100/hour"`, `"10/s;1000/h"`, `"5/10min"`, `"100/h;shadow"`, `"off"` or `"block"`.

    Units are s, sec, second, m, min, minute, h, hr, hour, d, day and their plurals; a number can
    precede them. `"100 per hour"` is `"100/hour"`.

    Raises:
        ValueError: the rate is malformed; the message names it and the rule.
    """
    parts = [part.strip() for part in text.split(";")]
    shadow = len(parts) > 1 and parts[-1].lower() == "shadow"
    if shadow:
        parts.pop()
    word = parts[0].lower() if len(parts) == 1 else ""
    if word in {"off", "block"}:
        return Rate((BLOCK,) if word == "block" else (), shadow)
    windows = tuple(_parse_window(part, text) for part in parts)
    if len({window.period for window in windows}) < len(windows):
        raise ValueError(f"{text!r} must not limit the same period twice.")
    return Rate(windows, shadow)


def _parse_window(part: str, text: str) -> Window:
    match = _WINDOW.fullmatch(part)
    if not match:
        raise ValueError(
            f"{text!r} is not a rate such as '100/hour', '10/s;1000/h', '5/10min', 'off' or"
            " 'block'; the units are s, min, h and d."
        )
    unit = _SECONDS[match["unit"][0].lower()]
    return check_window(Window(int(match["limit"]), int(match["count"] or 1) * unit), text)


def check_window(window: Window, text: object) -> Window:
    """Return the window if a limiter supports it.

    Raises:
        ValueError: the limit or period is out of range; the message names the text and the range.
    """
    if not (1 <= window.limit <= MAX_LIMIT and 1 <= window.period <= MAX_PERIOD):
        raise ValueError(
            f"{text!r} must allow 1 to {MAX_LIMIT} requests in 1 second to 366 days; 'off' means no"
            " limit, and 'block' denies every request."
        )
    return window


def variable(scope: str) -> str:
    """Return the name of the environment variable that sets a scope's rate."""
    return PREFIX + _normal(scope).upper()


def _normal(name: str) -> str:
    return re.sub(r"\W", "_", name).lower()


def rates_from_environment(env: Environment, defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the rate of each scope: THROTTLE_<SCOPE> if it is set, else the default.

    A variable can name a scope without a default. `THROTTLE_<SCOPE>__<TIER>` is returned as
    `scope__tier`. Malformed rates are reported to `env`.
    """
    named = {variable(scope): scope for scope in defaults}
    rates = dict(defaults)
    for name in env.names(PREFIX):
        rates[named.get(name, name.removeprefix(PREFIX).lower())] = env.str(name, "off")
    for scope, text in rates.items():
        try:
            parse_rate(text)
        except ValueError as error:
            env.reject(variable(scope), str(error))
    env.record({variable(scope): text for scope, text in rates.items()})
    return rates


def rate_of(rates: Mapping[str, str | None], scope: str, tier: str | None = None) -> Rate | None:
    """Return the rate of a scope for callers in a tier, or None if the scope has no rate.

    If the scope has no rate for the tier, the scope's own rate applies.
    """
    text = rate_text(rates, scope, tier)
    return None if text is None else parse_rate(text)


def rate_text(rates: Mapping[str, str | None], scope: str, tier: str | None = None) -> str | None:
    """Return the text of that rate; a rate of None is "off"."""
    keys = [scope, _normal(scope)]
    if tier:
        keys = [f"{key}{TIER_SEPARATOR}{_normal(str(tier))}" for key in keys] + keys
    for key in keys:
        if key in rates:
            return rates[key] or "off"
    return None
