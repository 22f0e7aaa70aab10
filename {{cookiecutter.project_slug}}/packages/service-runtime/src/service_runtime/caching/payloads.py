"""The stored form of responses: which are cacheable, their keys, and the response to a client."""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django.utils.cache import get_conditional_response, patch_vary_headers

from ..conf import settings
from ..metrics import cache_requests
from .dependencies import Dependencies
from .store import Result, get_or_compute

# RFC 9211.
_CACHE_STATUS = {"hit": "hit", "miss": "fwd=miss", "collapsed": "fwd=miss; collapsed"}


class NotCacheableError(Exception):
    """Carries a response past the cache."""

    def __init__(self, response: HttpResponseBase) -> None:
        self.response = response


def key_of(view: Callable[..., Any], request: HttpRequest, *factors: object) -> str:
    """Return a key that only requests with the same response share.

    Args:
        view: the function that computes the response.
        request: its method, URL, host, active language and active time zone are part of the key.
        factors: further values that the response depends on; their `repr()` is part of the key.
    """
    parts = (
        *(view.__module__, view.__qualname__),
        *(request.method, request.scheme, request.get_host(), request.path),
        *(request.META.get("QUERY_STRING"), translation.get_language()),
        *(timezone.get_current_timezone_name(), *factors),
    )
    digest = hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16)
    return f"answer:{digest.hexdigest()}"


def render(response: Any) -> HttpResponseBase:
    """Return a response with content. A TemplateResponse has none before it is rendered."""
    if callable(getattr(response, "render", None)):
        response = response.render()
    return response  # type: ignore[no-any-return]


def serialize(
    response: HttpResponseBase, shared: bool, vary: set[str], headers: Iterable[str] = ()
) -> bytes:
    """Return the stored form of a response: its headers as JSON on a line, then the body.

    Args:
        response: the response to a request that others will share.
        shared: whether it is the same for all users.
        vary: lowercase names of the request headers that the key covers.
        headers: names to add to Vary.

    Raises:
        NotCacheableError: it is not a plain 200, sets a cookie, or its headers forbid caching.
    """
    if not _is_cacheable(response, vary):
        raise NotCacheableError(response)
    if added := [*headers, *(() if shared else ("Authorization", "Cookie"))]:
        patch_vary_headers(response, added)  # adds an empty name for no names
    response.setdefault("Cache-Control", "no-cache" if shared else "private, no-cache")
    content: bytes = response.content  # type: ignore[attr-defined]
    digest = hashlib.blake2b(content, digest_size=16, person=b"etag")
    response.setdefault("ETag", f'"{digest.hexdigest()}"')
    return json.dumps(dict(response.items())).encode() + b"\n" + content


def _is_cacheable(response: HttpResponseBase, vary: set[str]) -> bool:
    control = response.get("Cache-Control", "").lower()
    varies = {name.strip().lower() for name in response.get("Vary", "").split(",") if name.strip()}
    return (
        isinstance(response, HttpResponse)
        and response.status_code == 200
        and not response.cookies
        and varies <= vary
        and "Content-Encoding" not in response
        and "Set-Cookie" not in response  # a header that is not in `response.cookies`
        and "no-store" not in control
        and ("private" not in control or "cookie" in vary)
    )


def respond(
    request: HttpRequest,
    key: str,
    dependencies: Dependencies,
    compute: Callable[[], bytes],
    timeout: int | None,
) -> HttpResponseBase:
    """Return a response from the cache, or compute and store it.

    `compute` may raise NotCacheableError, whose response is returned. The other arguments are those
    of get_or_compute.
    """
    try:
        result = get_or_compute(key, dependencies, compute, timeout)
    except NotCacheableError as error:
        cache_requests("responses", "bypass").inc()
        return error.response
    cache_requests("responses", result.outcome).inc()
    return _deserialize(request, result)


def _deserialize(request: HttpRequest, result: Result) -> HttpResponseBase:
    head, _, body = result.value.partition(b"\n")
    headers = json.loads(head)
    response: Any = HttpResponse(body, headers=headers)
    if "Content-Type" not in headers:  # Django adds a default
        del response["Content-Type"]
    response = get_conditional_response(request, etag=response["ETag"], response=response)
    status = _CACHE_STATUS.get(result.outcome, "fwd=bypass")
    response["Cache-Status"] = f"{settings.SERVICE_NAME}; {status}"
    return response  # type: ignore[no-any-return]
