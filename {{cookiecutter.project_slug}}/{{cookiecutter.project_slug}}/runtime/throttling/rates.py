"""Rates: how many requests a client may make in how many seconds."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..environment import Environment

PREFIX = "THROTTLE_"
_RATE = re.compile(
    r"(?P<limit>[0-9]+)\s*/\s*(?P<count>[0-9]*)\s*"
    r"(?P<unit>[smhd]|secs?|seconds?|mins?|minutes?|hours?|days?)",
    re.IGNORECASE,
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Rate(NamedTuple):
    """At most `limit` requests in `period` seconds."""

    limit: int
    period: int


def parse_rate(text: str) -> Rate | None:
    """Parse `"100/hour"` or `"5/10min"`; `"off"` is None: no limit.

    Raises:
        ValueError: a sentence that names the text and the rule.
    """
    if text.strip().lower() == "off":
        return None
    match = _RATE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a rate such as '100/hour', '5/10min' or 'off'.")
    rate = Rate(int(match["limit"]), int(match["count"] or 1) * _SECONDS[match["unit"][0].lower()])
    if not rate.limit or not rate.period:
        raise ValueError(f"{text!r} must allow 1 request or more in 1 second or more, or be 'off'.")
    return rate


def rates_from_environment(env: Environment, defaults: Mapping[str, str]) -> dict[str, str]:
    """Return each scope's rate: THROTTLE_<SCOPE> where it is set, else the default.

    A variable may name a scope that has no default. Malformed rates are reported to `env`.
    """
    found = {
        name.removeprefix(PREFIX).lower(): value for name, value in env.variables(PREFIX).items()
    }
    rates = {**defaults, **found}
    for scope, text in rates.items():
        try:
            parse_rate(text)
        except ValueError as error:
            env.reject(PREFIX + scope.upper(), str(error))
    return rates
