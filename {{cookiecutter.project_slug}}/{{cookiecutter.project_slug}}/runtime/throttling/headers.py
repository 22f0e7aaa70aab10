"""Tells clients what is left: the RateLimit fields on answers, and 429 for plain Django views."""

import math
from collections.abc import Callable, Container
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from .decisions import Policy, Scope, ThrottlingUnavailableError, decide
from .identity import client_of
from .throttles import remember


class ThrottlingMiddleware:
    """Writes RateLimit and RateLimit-Policy, or X-RateLimit-*, on answers that were throttled.

    See https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/. A policy is named
    for its scope; `t` is the number of seconds until more than `r` remains.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._draft = settings.THROTTLING_HEADERS in {"draft", "both"}
        self._legacy = settings.THROTTLING_HEADERS in {"legacy", "both"}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        policies = getattr(request, "throttling_policies", [])
        enforced = [policy for policy in policies if not policy.shadow]
        if enforced and self._draft:
            named = list(zip(_names(enforced), enforced, strict=True))
            response["RateLimit-Policy"] = ", ".join(
                f'"{name}";q={policy.window.limit};w={policy.window.period}'
                for name, policy in named
            )
            response["RateLimit"] = ", ".join(
                f'"{name}";r={policy.outcome.remaining};t={_until_more(policy)}'
                for name, policy in named
            )
        if enforced and self._legacy:
            tightest = min(enforced, key=lambda p: (p.outcome.remaining, -_until_more(p)))
            response["X-RateLimit-Limit"] = str(tightest.window.limit)
            response["X-RateLimit-Remaining"] = str(tightest.outcome.remaining)
            response["X-RateLimit-Reset"] = str(_until_more(tightest))
        return response


def _names(policies: list[Policy]) -> list[str]:
    """Return a name for each policy: its scope's, with the period where a scope has several."""
    scopes = [policy.scope.name for policy in policies]
    return [
        name if scopes.count(name) == 1 else f"{name}-{policy.window.period}s"
        for name, policy in zip(scopes, policies, strict=True)
    ]


def violated_policies(request: HttpRequest) -> list[str]:
    """Return the names, as in RateLimit-Policy, of the policies that a request exceeds."""
    policies = getattr(request, "throttling_policies", [])
    enforced = [policy for policy in policies if not policy.shadow]
    named = zip(_names(enforced), enforced, strict=True)
    return [name for name, policy in named if not policy.outcome.fits]


def _until_more(policy: Policy) -> int:
    return math.ceil(max(policy.outcome.wait, policy.outcome.more))


def throttled(
    *scopes: str, methods: Container[str | None] = ("POST",)
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Throttle a plain Django view, such as the admin's login form, in the scopes.

    Args:
        scopes: the names of the scopes.
        methods: the request methods that count; HEAD counts as GET.
    """

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if ("GET" if request.method == "HEAD" else request.method) in methods:
                client = client_of(request, getattr(request, "user", None))
                try:
                    decision = decide(request, [Scope(name, client) for name in scopes])
                except ThrottlingUnavailableError as error:
                    return _refusal(503, error.default_detail, error.wait)
                remember(request, decision)
                if not decision:
                    wait = max(policy.outcome.wait for policy in decision.denied)
                    return _refusal(429, "Request was throttled.", wait)
            return view(request, *args, **kwargs)

        # Together with those of a decorator below this one, for the checks.
        wrapper.throttle_scopes = (*getattr(view, "throttle_scopes", ()), *scopes)  # type: ignore[attr-defined]
        return wrapper

    return decorate


def _refusal(status: int, text: str, wait: float) -> HttpResponse:
    seconds = str(math.ceil(wait))
    return HttpResponse(
        f"{text} Try again in {seconds} seconds.\n",
        status=status,
        content_type="text/plain; charset=utf-8",
        headers={"Retry-After": seconds},
    )
