"""Django's checks of scopes and rates. Errors stop the start, under gunicorn too."""

from typing import Any

from django.conf import settings
from django.core import checks

from .decisions import configured_rates
from .rates import TIER_SEPARATOR, parse_rate, rate_of, variable
from .views import throttled_views


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
            messages.append(
                checks.Warning(
                    f"{where} uses {found.throttle.__name__} of rest_framework, which is not exact;"  # type: ignore[union-attr]
                    " import it from runtime.throttling.throttles.",
                    id="throttling.W002",
                )
            )
        if found.has_own_rate and not found.is_foreign:
            try:
                parse_rate(found.throttle.rate)  # type: ignore[union-attr]
            except ValueError as error:
                messages.append(checks.Error(f"{where}: {error}", id="throttling.E002"))
            continue
        messages += [
            checks.Error(
                f"{where} names the throttle scope {scope!r}, which has no rate: set"
                f" {variable(scope)}, or a default in the settings.",
                id="throttling.E001",
            )
            for scope in found.scopes
            if rate_of(rates, scope) is None
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
