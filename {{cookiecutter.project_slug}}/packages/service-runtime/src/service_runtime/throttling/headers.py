"""Tells clients what is left: the RateLimit fields on answers, and 429 for plain Django views."""

import math
from collections.abc import Callable, Container, Iterator, Mapping
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse

from ..conf import settings
from .decisions import Policy, Scope, ThrottlingUnavailableError, decide
from .identity import client_of
from .throttles import remember


class ThrottlingMiddleware:
    """Writes RateLimit and RateLimit-Policy, or X-RateLimit-*, on answers that were throttled.

    See https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/. A policy is named
    for its scope; `t` is the number of seconds until more than `r` remains. A scope that is blocked
    has a quota of 0, and neither a window nor a time.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._draft = settings.THROTTLING_HEADERS in {"draft", "both"}
        self._legacy = settings.THROTTLING_HEADERS in {"legacy", "both"}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        named = _reported(request)
        enforced = [policy for _, policy in named]
        if enforced and self._draft:
            response["RateLimit-Policy"] = ", ".join(
                f'"{name}";q={policy.window.limit}'
                + (f";w={policy.window.period}" if policy.window.period else "")
                for name, policy in named
            )
            response["RateLimit"] = ", ".join(
                f'"{name}";r={policy.outcome.remaining}'
                + (f";t={_until_more(policy)}" if policy.window.period else "")
                for name, policy in named
            )
        if enforced and self._legacy:
            tightest = min(enforced, key=lambda p: (p.outcome.remaining, -_until_more(p)))
            response["X-RateLimit-Limit"] = str(tightest.window.limit)
            response["X-RateLimit-Remaining"] = str(tightest.outcome.remaining)
            if tightest.window.period:
                response["X-RateLimit-Reset"] = str(_until_more(tightest))
        return response


def _reported(request: HttpRequest) -> list[tuple[str, Policy]]:
    """Return the policies that a caller is told of, each with its name.

    That is its scope's, with the period where a scope has several.
    """
    policies = getattr(request, "throttling_policies", [])
    enforced = [each for each in policies if not (each.shadow or each.scope.hidden)]
    scopes = [policy.scope.name for policy in enforced]
    return [
        (name if scopes.count(name) == 1 else f"{name}-{policy.window.period}s", policy)
        for name, policy in zip(scopes, enforced, strict=True)
    ]


def violated_policies(request: HttpRequest) -> list[str]:
    """Return the names, as in RateLimit-Policy, of the policies that a request exceeds."""
    return [name for name, policy in _reported(request) if not policy.outcome.fits]


def _until_more(policy: Policy) -> int:
    return math.ceil(max(policy.outcome.wait, policy.outcome.more))


def throttled(
    *scopes: str,
    methods: Container[str | None] = ("POST",),
    clients: Mapping[str, Callable[[HttpRequest], str | None]] | None = None,
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Throttle a plain Django view, such as the admin's login form, in the scopes.

    Args:
        scopes: the names of the scopes.
        methods: the request methods that count; HEAD counts as GET.
        clients: functions by the names of more scopes. Each returns whom a request is counted for
            there, or None if it is not. The RateLimit fields leave these scopes out, since what
            others have used is none of the caller's business.
    """
    by_client = dict(clients or {})

    def scopes_for(request: HttpRequest) -> Iterator[Scope]:
        client = client_of(request, getattr(request, "user", None))
        yield from (Scope(name, client) for name in scopes)
        for name, get_client in by_client.items():
            if (other := get_client(request)) is not None:
                yield Scope(name, other, hidden=True)

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if ("GET" if request.method == "HEAD" else request.method) in methods:
                try:
                    decision = decide(request, scopes_for(request))
                except ThrottlingUnavailableError as error:
                    return _refusal(503, error.default_detail, error.wait)
                remember(request, decision)
                if not decision:
                    wait = max(policy.outcome.wait for policy in decision.denied)
                    return _refusal(429, "Request was throttled.", wait)
            return view(request, *args, **kwargs)

        # Together with those of a decorator below this one, for the checks.
        below = getattr(view, "throttle_scopes", ())
        wrapper.throttle_scopes = (*below, *scopes, *by_client)  # type: ignore[attr-defined]
        return wrapper

    return decorate


def _refusal(status: int, text: str, wait: float) -> HttpResponse:
    """Return a plain refusal; a wait of 0 is none that would help."""
    response = HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
    if wait:
        seconds = str(math.ceil(wait))
        response.content = f"{text} Try again in {seconds} seconds.\n"
        response["Retry-After"] = seconds
    return response
