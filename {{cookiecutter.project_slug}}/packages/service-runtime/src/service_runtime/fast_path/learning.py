"""Learn from the responses of a view how to serve its URL without it."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from rest_framework.settings import api_settings

from ..api.problems import exception_handler
from ..caching.keys import cacheops_prefix
from ..caching.payloads import Source, cache_status
from ..caching.prefetched import current_locale
from ..caching.slots import Slot
from ..logging import get_current_user_id
from ..throttling.decisions import Decision
from ..throttling.headers import fields_of
from ..throttling.state import EARLY
from .denials import denial_of
from .eligibility import has_hooks, obstacles, obstacles_of_denials
from .plans import Headers, Plan


def learn(request: HttpRequest, response: HttpResponse, plan: Plan | None) -> Plan | None:
    """Return a plan to serve the following requests like this one; None if there is none.

    Args:
        request: a request without credentials.
        response: the response of its view.
        plan: the previous plan for its URL.
    """
    if request.resolver_match is None or response.cookies or has_hooks() or get_current_user_id():
        return None
    view, method = request.resolver_match.func, str(request.method)
    source: Source | None = getattr(request, "cached_response", None)
    if response.status_code == 429:
        source = None
    elif response.status_code not in {200, 304} or source is None:
        return None
    if obstacles(view, method) or not _is_counted_by(view, request):
        return None
    if source is None and (obstacles_of_denials(view) or not _is_reproducible(request, response)):
        return None
    learned = _plan_of(request, source)
    same = plan and plan._replace(match=learned.match, headers={}, denials={})
    if plan and (source is None or same == learned):
        learned = plan
    return _with_headers(learned, request, response)


def _is_counted_by(view: Any, request: HttpRequest) -> bool:
    """Return whether the request's throttling is not that of a view that the view has called."""
    state: Any = getattr(request, "throttling", None)
    return state is None or state.view is EARLY or type(state.view) is view.cls


def _plan_of(request: HttpRequest, source: Source | None) -> Plan:
    state: Any = getattr(request, "throttling", None)
    plan = Plan(
        match=request.resolver_match,  # type: ignore[arg-type]
        scopes=[scope._replace(client="") for scope in state.counted] if state else [],
        cost=state.cost if state else 1,
        locale=current_locale(),
        owner=None,
        prefix=cacheops_prefix(),
        keys=[],
        head=b"",
        stale=0,
        headers={},
        denials={},
    )
    if source is None:
        return plan
    slot = Slot(plan.prefix, plan.prefix + source.name, source.dependencies.conditions)
    return plan._replace(owner=source.owner, keys=slot.keys, head=source.head, stale=source.stale)


def _with_headers(plan: Plan, request: HttpRequest, response: HttpResponse) -> Plan:
    names = [name.lower() for name in response.headers]
    state: Any = getattr(request, "throttling", None)
    throttles = fields_of(state.policies if state else [])
    changing = {"etag", "retry-after", "content-length", *map(str.lower, throttles)}
    if plan.stale:
        changing.add("cache-status")
    values = dict(response.items())
    if "Cache-Status" in values:
        values["Cache-Status"] = cache_status("fast-path")
    kind = (response.status_code, (*throttles,), "retry-after" in names)
    positions = [(number, name) for number, name in enumerate(names) if name in changing]
    plan.headers[kind] = Headers([*values.items()], positions)
    return plan


def _is_reproducible(request: HttpRequest, response: HttpResponse) -> bool:
    """Return whether the fast path would write the same body for a denial."""
    state: Any = getattr(request, "throttling", None)
    decision = state and Decision(state.policies)
    if not state or decision or api_settings.EXCEPTION_HANDLER is not exception_handler:
        return False
    body, media_type = denial_of(request.META, decision)
    return (response.content, response.get("Content-Type")) == (body, media_type)
