"""Django system checks of scopes and rates. Errors prevent the start, under gunicorn too."""

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from rest_framework.throttling import SimpleRateThrottle

from ..conf import settings
from ..environment import closest
from ..rates import TIER_SEPARATOR, rate_text, variable
from .decisions import configured_rates
from .throttles import RateThrottle
from .views import ThrottledView, throttled_views


@checks.register("throttling")
def check_throttles(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report scopes without a rate, malformed rates, inexact throttles and unused settings."""
    views = list(throttled_views())
    messages = [message for view in views for message in _check_view(view)]
    scopes = {scope for view in views for scope in view.scopes}
    variables = {variable(scope) for scope in scopes}
    messages += [
        checks.Warning(
            f"{name} is set, but no view uses its scope.{_hint(name, variables)}",
            id="throttling.W001",
        )
        for name in settings.THROTTLE_VARIABLES
        if name.split(TIER_SEPARATOR)[0] not in variables
    ]
    return messages + [
        checks.Warning(
            f"THROTTLING_FAIL_CLOSED contains {scope!r}, but no view uses this scope.",
            id="throttling.W003",
        )
        for scope in settings.THROTTLING_FAIL_CLOSED
        if scope not in scopes
    ]


def _hint(name: str, variables: set[str]) -> str:
    scope, separator, tier = name.partition(TIER_SEPARATOR)
    similar = closest(scope, variables)
    return f" Did you mean {similar}{separator}{tier}?" if similar else ""


def _check_view(view: ThrottledView) -> Iterator[checks.CheckMessage]:
    if view.throttle and issubclass(view.throttle, SimpleRateThrottle):
        yield checks.Warning(
            f"{view.name} uses {view.throttle.__name__}, a throttle of rest_framework, whose counts"
            " are not exact. Import its base class from service_runtime.throttling.",
            id="throttling.W002",
        )
    for scope in view.scopes:
        if not view.has_own_rate and rate_text(configured_rates(), scope) is None:
            yield checks.Error(
                f"{view.name} uses the throttle scope {scope!r}, which has no rate. Set"
                f" {variable(scope)}, or a default in the settings.",
                id="throttling.E001",
            )
    if view.throttle and issubclass(view.throttle, RateThrottle):
        for error in _errors_of_rates(view.throttle(), view.scopes):
            yield checks.Error(f"{view.name}: {error}", id="throttling.E002")


def _errors_of_rates(throttle: RateThrottle, scopes: list[str]) -> Iterator[Exception]:
    """Yield the errors in the rates that a class defines, unless only a request shows them."""
    overridden = throttle.overridden()
    if "get_rate" in overridden:
        return  # it can need a database
    for scope in scopes or ([""] if throttle.rate else []):
        throttle.scope = scope
        try:
            throttle.own_rate(overridden)
        except (ImproperlyConfigured, ValueError) as error:
            yield error
