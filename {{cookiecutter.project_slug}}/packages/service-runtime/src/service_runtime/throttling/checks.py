"""Django's checks of scopes and rates. Errors stop the start, under gunicorn too."""

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from rest_framework.throttling import SimpleRateThrottle

from ..conf import settings
from ..rates import TIER_SEPARATOR, rate_text, variable
from .decisions import configured_rates
from .throttles import RateThrottle
from .views import ThrottledView, throttled_views


@checks.register("throttling")
def check_throttles(**kwargs: Any) -> list[checks.CheckMessage]:
    """Find scopes without a rate, malformed rates of classes, and settings that no view uses."""
    messages: list[checks.CheckMessage] = []
    rates = configured_rates()
    used: set[str] = set()
    for found in throttled_views():
        where = f"{found.view} ({found.route})"
        used.update(found.scopes)
        if found.is_foreign:
            messages.append(checks.Warning(f"{where} {_foreign(found)}", id="throttling.W002"))
        elif found.throttle is not None:
            messages += [
                checks.Error(f"{where}: {error}", id="throttling.E002")
                for error in _errors_of_rate(found)
            ]
        if found.has_own_rate:
            continue
        messages += [
            checks.Error(
                f"{where} names the throttle scope {scope!r}, which has no rate: set"
                f" {variable(scope)}, or a default in the settings.",
                id="throttling.E001",
            )
            for scope in found.scopes
            if rate_text(rates, scope) is None
        ]
    known = {variable(scope) for scope in used}
    messages += [
        checks.Warning(f"{name} is set, and no view uses its scope.", id="throttling.W001")
        for name in settings.THROTTLE_VARIABLES
        if name.split(TIER_SEPARATOR)[0] not in known
    ]
    messages += [
        checks.Warning(
            f"THROTTLING_FAIL_CLOSED names {scope!r}, a scope that no view uses.",
            id="throttling.W003",
        )
        for scope in settings.THROTTLING_FAIL_CLOSED
        if scope not in used
    ]
    return messages


def _foreign(found: ThrottledView) -> str:
    """Return what is said of one of Django REST framework's throttles, or a subclass of one."""
    classes = found.throttle.__mro__  # type: ignore[union-attr]
    base = next(cls.__name__ for cls in classes if cls.__module__ == SimpleRateThrottle.__module__)
    name = found.throttle.__name__  # type: ignore[union-attr]
    subject = f"{base} of" if name == base else f"{name}, a subclass of {base} of"
    return (
        f"uses {subject} rest_framework, which is not exact; import {base} from"
        " service_runtime.throttling."
    )


def _errors_of_rate(found: ThrottledView) -> Iterator[Exception]:
    """Yield what is wrong with the rates of a class, as far as they are known now."""
    throttle = found.throttle
    if not (throttle and issubclass(throttle, RateThrottle) and throttle.inherits("get_rate")):
        return  # get_rate may ask a database
    for scope in found.scopes or ([""] if throttle.rate else []):
        if found.has_own_rate or rate_text(configured_rates(), scope) is not None:
            try:
                throttle().own_rate(scope)
            except (ImproperlyConfigured, ValueError) as error:
                yield error
