"""Answers as they are kept: what may be, under which name, and what a client gets of it."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django.utils.cache import get_conditional_response, patch_vary_headers

from ..conf import settings
from ..metrics import cache_requests
from .dependencies import Dependencies
from .store import Result, get_or_compute

# RFC 9211. Who waited for another request's computation was answered by that one's.
_CACHE_STATUS = {"hit": "hit", "miss": "fwd=miss", "collapsed": "fwd=miss; collapsed"}


class NotKeptError(Exception):
    """Carries an answer past the cache."""

    def __init__(self, response: HttpResponseBase) -> None:
        self.response = response


def name_of(function: Callable[..., Any], request: HttpRequest, *factors: object) -> str:
    """Return a name that only requests with the same answer of a view share.

    Args:
        function: the view.
        request: its URL, host and method count, and the language and time zone that are active.
        factors: what else the answer depends on, as values with a `repr()` of their own.
    """
    every = (
        function.__module__,
        function.__qualname__,
        request.method,
        request.scheme,
        request.get_host(),
        request.path,
        request.META.get("QUERY_STRING"),
        translation.get_language(),
        timezone.get_current_timezone_name(),
        *factors,
    )
    digest = hashlib.blake2b(repr(every).encode("utf-8", "surrogatepass"), digest_size=16)
    return f"answer:{digest.hexdigest()}"


def rendered(response: Any) -> HttpResponseBase:
    """Return a response with its content, which a TemplateResponse has not yet."""
    if callable(render := getattr(response, "render", None)):
        response = render()
    return response  # type: ignore[no-any-return]


def is_keepable(response: HttpResponseBase, vary: set[str]) -> bool:
    """Tell whether an answer may be given to others, as far as its headers say."""
    control = response.get("Cache-Control", "").lower()
    varies = {name.strip().lower() for name in response.get("Vary", "").split(",") if name.strip()}
    return (
        varies <= vary
        and "Content-Encoding" not in response
        and "Set-Cookie" not in response  # as a header, which is not among `response.cookies`
        and "no-store" not in control
        and ("private" not in control or "cookie" in vary)
    )


def kept(response: HttpResponseBase, shared: bool) -> bytes:
    """Return an answer as it is kept: its headers as JSON on a line, then the body.

    Raises:
        NotKeptError: it is no plain 200, or sets a cookie.
    """
    if not isinstance(response, HttpResponse) or response.status_code != 200 or response.cookies:
        raise NotKeptError(response)
    if not shared:
        patch_vary_headers(response, ["Authorization", "Cookie"])
    response.setdefault("Cache-Control", "no-cache" if shared else "private, no-cache")
    content = response.content
    digest = hashlib.blake2b(content, digest_size=16, person=b"etag")
    response.setdefault("ETag", f'"{digest.hexdigest()}"')
    return json.dumps(dict(response.items())).encode() + b"\n" + content


def answer(
    request: HttpRequest,
    name: str,
    dependencies: Dependencies,
    compute: Callable[[], bytes],
    timeout: int | None,
) -> HttpResponseBase:
    """Answer from the cache, or compute the answer and keep it.

    `compute` may raise NotKeptError, whose response is then the answer; the rest is as in
    get_or_compute.
    """
    try:
        result = get_or_compute(name, dependencies, compute, timeout)
    except NotKeptError as error:
        cache_requests("responses", "bypass").inc()
        return error.response
    cache_requests("responses", result.outcome).inc()
    return _response(request, result)


def _response(request: HttpRequest, result: Result) -> HttpResponseBase:
    head, _, body = result.value.partition(b"\n")
    headers = json.loads(head)
    response: Any = HttpResponse(body, headers=headers)
    if "Content-Type" not in headers:  # Django has made one up
        del response["Content-Type"]
    response = get_conditional_response(request, etag=response["ETag"], response=response)
    status = _CACHE_STATUS.get(result.outcome, "fwd=bypass")
    response["Cache-Status"] = f"{settings.SERVICE_NAME}; {status}"
    return response  # type: ignore[no-any-return]
