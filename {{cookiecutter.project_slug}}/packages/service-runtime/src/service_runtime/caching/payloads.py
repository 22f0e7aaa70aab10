"""The stored form of responses: which are cacheable, their keys, and the response to a client."""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django.utils.cache import get_conditional_response, patch_vary_headers

from ..conf import settings
from ..metrics import cache_requests
from .dependencies import Dependencies
from .store import Result, get_or_compute

# RFC 9211.
_CACHE_STATUS = {
    "hit": "hit",
    "fast-path": "hit; detail=fast-path",
    "stale": "hit; detail=stale",
    "miss": "fwd=miss",
    "collapsed": "fwd=miss; collapsed",
}


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
    return f"response:{digest.hexdigest()}"


def render(response: Any) -> HttpResponseBase:
    """Return a response with content. A TemplateResponse has none before it is rendered."""
    if callable(getattr(response, "render", None)):
        response = response.render()
    return response  # type: ignore[no-any-return]


def serialize(
    response: HttpResponseBase, shared: bool, vary: set[str], headers: Iterable[str] = ()
) -> bytes:
    """Return the stored form of a response: its headers as JSON, its ETag, and its body.

    The first two are lines. The headers alone are the same for each content of a URL.

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
    etag = response.get("ETag", f'"{digest.hexdigest()}"')
    del response["ETag"]
    return json.dumps(dict(response.items())).encode() + f"\n{etag}\n".encode() + content


class Stored(NamedTuple):
    """The parts of a stored response.

    Attributes:
        head: the headers, except ETag, as JSON.
        etag: the ETag.
        body: the body.
    """

    head: bytes
    etag: str
    body: bytes


def split(value: bytes) -> Stored:
    """Return the parts of what `serialize` returned."""
    head, etag, body = value.split(b"\n", 2)
    return Stored(head, etag.decode(), body)


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


class Source(NamedTuple):
    """Where a public response is stored, as `request.cached_response`.

    Attributes:
        owner: the policy of the handler.
        name: the name of the result.
        dependencies: its dependencies.
        head: the stored headers.
        stale: that of get_or_compute.
    """

    owner: object
    name: str
    dependencies: Dependencies
    head: bytes
    stale: float


def respond(
    request: HttpRequest,
    key: str,
    dependencies: Dependencies,
    compute: Callable[[], bytes],
    timeout: int | None,
    stale: float = 0,
    owner: object = None,
) -> HttpResponseBase:
    """Return a response from the cache, or compute and store it.

    Args:
        request: the request.
        key: the name of the result.
        dependencies: those of get_or_compute.
        compute: that of get_or_compute; its NotCacheableError contains the response.
        timeout: that of get_or_compute.
        stale: that of get_or_compute.
        owner: the policy of a public response, for `request.cached_response`.
    """
    try:
        result = get_or_compute(key, dependencies, compute, timeout, stale)
    except NotCacheableError as error:
        cache_requests("responses", "bypass").inc()
        return error.response
    finally:
        # The computation may have used another cached response, whose source this one replaces.
        request.cached_response = None  # type: ignore[attr-defined]
    if owner is not None and result.outcome != "bypass":
        source = Source(owner, key, dependencies, split(result.value).head, stale)
        request.cached_response = source  # type: ignore[attr-defined]
    return response_of(request, result)


def response_of(request: HttpRequest, result: Result) -> HttpResponseBase:
    """Return the response to a request from a result."""
    cache_requests("responses", result.outcome).inc()
    stored = split(result.value)
    headers = json.loads(stored.head)
    response: Any = HttpResponse(stored.body, headers=headers)
    if "Content-Type" not in headers:  # Django adds a default
        del response["Content-Type"]
    response["ETag"] = stored.etag
    response = get_conditional_response(request, etag=stored.etag, response=response)
    response["Cache-Status"] = cache_status(result.outcome)
    return response  # type: ignore[no-any-return]


def cache_status(outcome: str) -> str:
    """Return the Cache-Status for the outcome of a result, or for "fast-path"."""
    return f"{settings.SERVICE_NAME}; {_CACHE_STATUS.get(outcome, 'fwd=bypass')}"
