"""Report limits to clients: the RateLimit fields, and a 429 for plain Django views."""

import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse

from ..conf import settings
from .decisions import Policy, Scope, ThrottlingUnavailableError, decide
from .identity import client_of
from .state import Throttling

View = Callable[..., HttpResponse]
Clients = Mapping[str, Callable[[HttpRequest], str | None]]


class ThrottlingMiddleware:
    """Set RateLimit and RateLimit-Policy, or X-RateLimit-*, on responses that were throttled.

    See https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/. A policy has the
    name of its scope; `t` is the number of seconds until more than `r` requests remain. A blocked
    scope has a quota of 0, and neither a window nor a time.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in fields_of(_policies_of(request)).items():
            response[name] = value
        return response


def fields_of(policies: Iterable[Policy]) -> dict[str, str]:
    """Return the fields that THROTTLING_HEADERS selects, for the policies of a request."""
    named = _reported(policies)
    fields: dict[str, str] = {}
    if not named:
        return fields
    if settings.THROTTLING_HEADERS in {"draft", "both"}:
        fields["RateLimit-Policy"] = ", ".join(
            f'"{name}";q={policy.limit.limit}'
            + (f";w={policy.limit.period}" if policy.limit.period else "")
            for name, policy in named
        )
        fields["RateLimit"] = ", ".join(
            f'"{name}";r={policy.outcome.remaining}'
            + (f";t={_until_more(policy)}" if policy.limit.period else "")
            for name, policy in named
        )
    if settings.THROTTLING_HEADERS in {"legacy", "both"}:
        enforced = [policy for _, policy in named]
        tightest = min(enforced, key=lambda p: (p.outcome.remaining, -_until_more(p)))
        fields["X-RateLimit-Limit"] = str(tightest.limit.limit)
        fields["X-RateLimit-Remaining"] = str(tightest.outcome.remaining)
        if tightest.limit.period:
            fields["X-RateLimit-Reset"] = str(_until_more(tightest))
    return fields


def _policies_of(request: HttpRequest) -> list[Policy]:
    state = getattr(request, "throttling", None)
    return state.policies if state else []


def _reported(policies: Iterable[Policy]) -> list[tuple[str, Policy]]:
    """Return the policies to report, each with its name.

    The name is the scope's, with the period if the scope has several windows.
    """
    enforced = [policy for policy in policies if not (policy.limit.shadow or policy.scope.hidden)]
    scopes = [policy.scope.name for policy in enforced]
    return [
        (name if scopes.count(name) == 1 else f"{name}-{policy.limit.period}s", policy)
        for name, policy in zip(scopes, enforced, strict=True)
    ]


def violated_policies(request: HttpRequest) -> list[str]:
    """Return the names, as in RateLimit-Policy, of the policies that a request exceeds."""
    return [name for name, policy in _reported(_policies_of(request)) if not policy.outcome.fits]


def _until_more(policy: Policy) -> int:
    return math.ceil(max(policy.outcome.wait, policy.outcome.more))


def throttled(
    *scopes: str, methods: Container[str | None] = ("POST",), clients: Clients | None = None
) -> Callable[[View], View]:
    """Throttle a plain Django view, such as the admin's login form.

    Args:
        scopes: the names of the scopes.
        methods: the request methods that count; HEAD counts as GET.
        clients: further scopes by name, each with a function that returns the client a request is
            counted for there, or None if it is not counted. The RateLimit fields omit these scopes:
            they would tell a caller what others have used.
    """
    clients = clients or {}

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if ("GET" if request.method == "HEAD" else request.method) in methods:
                denial = _denial(request, _scopes(request, scopes, clients))
                if denial is not None:
                    return denial
            return view(request, *args, **kwargs)

        # For the checks, with the scopes of another decorator around the same view.
        inner = getattr(view, "throttle_scopes", ())
        wrapper.throttle_scopes = (*inner, *scopes, *clients)  # type: ignore[attr-defined]
        return wrapper

    return decorate


def _scopes(request: HttpRequest, scopes: Iterable[str], clients: Clients) -> Iterator[Scope]:
    client = client_of(request, getattr(request, "user", None))
    yield from (Scope(name, client) for name in scopes)
    for name, get_client in clients.items():
        if (other := get_client(request)) is not None:
            yield Scope(name, other, hidden=True)


def _denial(request: HttpRequest, scopes: Iterable[Scope]) -> HttpResponse | None:
    """Count a request and return the response that denies it, or None if it is allowed."""
    try:
        decision = decide(request, scopes)
    except ThrottlingUnavailableError as error:
        return _response(503, error.default_detail, error.wait)
    request.throttling = Throttling(policies=decision.policies)  # type: ignore[attr-defined]
    return None if decision else _response(429, "Request was throttled.", decision.wait)


def _response(status: int, text: str, wait: float) -> HttpResponse:
    if wait:
        text += f" Try again in {math.ceil(wait)} seconds."
    headers = {"Retry-After": str(math.ceil(wait))} if wait else {}
    content_type = "text/plain; charset=utf-8"
    return HttpResponse(f"{text}\n", content_type=content_type, status=status, headers=headers)
