"""Decorators that keep what views answer."""

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django.utils.cache import get_conditional_response, patch_vary_headers
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from ..metrics import CACHE_REQUESTS
from .store import Dependencies, Result, get_or_compute

Dependency = type[Model] | Callable[[Any], QuerySet[Any]]
Handler = TypeVar("Handler", bound=Callable[..., HttpResponseBase])
# RFC 9211. Who waited for another request's computation was answered by that one's.
_CACHE_STATUS = {"hit": "hit", "miss": "fwd=miss", "collapsed": "fwd=miss; collapsed"}


class _NotKeptError(Exception):
    """Carries an answer past the cache."""

    def __init__(self, response: HttpResponseBase) -> None:
        self.response = response


def cached_response(
    *depends_on: Dependency,
    shared: bool = False,
    timeout: int | None = None,
    vary_on: Callable[[Request], object] | None = None,
) -> Callable[[Handler], Handler]:
    """Keep what a handler of a Django REST framework view answers to GET and HEAD.

    Authentication, permissions and throttles have run before the handler is called, or would have
    been; those on objects run in the handler, when an answer is computed. An answer is kept for
    the full URL, the media type, the version, the language and the time zone, and for each user,
    while nothing changes that it depends on. Only a 200 without cookies is kept. It has an ETag,
    which a client may send back for a 304, and is to be asked for each time (Cache-Control).

        @cached_response(Blog, Author, shared=True)
        def list(self, request, *args, **kwargs):
            return super().list(request, *args, **kwargs)

        @cached_response(lambda view: Blog.objects.filter(pk=view.kwargs["pk"]), shared=True)
        def retrieve(self, request, *args, **kwargs): ...

    Args:
        depends_on: models, any row of which counts; functions from the view to a queryset, of
            which the rows count that meet its conditions by `=` and `in`.
        shared: whether the answer is the same for everyone who gets this far. Asking who the user
            is then raises ImproperlyConfigured while an answer is computed.
        timeout: seconds to keep an answer; the smallest of the models' CACHEOPS timeouts when None.
        vary_on: returns what else the answer depends on, as a value with a `str()` of its own.
    """
    if not depends_on:
        raise TypeError("cached_response needs the models whose changes make an answer stale.")
    models = [found for found in depends_on if isinstance(found, type)]
    functions = [found for found in depends_on if not isinstance(found, type)]

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def wrapper(*args: Any, **kwargs: Any) -> HttpResponseBase:
            request = next(found for found in args[:2] if isinstance(found, Request))
            renderer = request.accepted_renderer
            if request.method not in {"GET", "HEAD"} or isinstance(renderer, BrowsableAPIRenderer):
                return handler(*args, **kwargs)
            view = request.parser_context["view"]

            def compute() -> bytes:
                if not shared:
                    return _kept(_rendered(request, view, handler(*args, **kwargs)), shared)
                known: Any = request  # what Request.user and Request.auth return
                user, auth = known._user, known._auth
                known._user = known._auth = _Nobody(handler)
                try:
                    return _kept(_rendered(request, view, handler(*args, **kwargs)), shared)
                finally:
                    known._user, known._auth = user, auth

            name = _name(
                handler,
                request.build_absolute_uri(),
                request.accepted_media_type,
                request.version,
                None if shared else request.user.pk,
                None if vary_on is None else str(vary_on(request)),
            )
            dependencies = Dependencies.of([*models, *(function(view) for function in functions)])
            return _answer(request._request, name, dependencies, compute, timeout)

        return wrapper  # type: ignore[return-value]

    return decorate


def public_page(
    *depends_on: type[Model], timeout: int | None = None
) -> Callable[[Handler], Handler]:
    """Keep what a plain view answers to GET and HEAD, where it is the same for everyone.

    Nothing is read or kept for a request with an Authorization header, a session or a CSRF cookie,
    and nothing is kept of an answer that sets a cookie, that is not a 200, that varies by anything
    but language and encoding, that says `private` or `no-store`, or whose view has looked at the
    session, made a CSRF token or a nonce. Put `throttled` and other guards above it.

    Args:
        depends_on: models whose changes make the page stale.
        timeout: seconds to keep it; may be left out if there are models.
    """
    if not depends_on and timeout is None:
        raise TypeError("public_page needs models, or a timeout in seconds.")

    def decorate(view: Handler) -> Handler:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method not in {"GET", "HEAD"} or _is_personal(request):
                return view(request, *args, **kwargs)

            def compute() -> bytes:
                response = view(request, *args, **kwargs)
                if callable(render := getattr(response, "render", None)):
                    response = render()
                if _became_personal(request, response):
                    raise _NotKeptError(response)
                return _kept(response, shared=True)

            name = _name(view, request.build_absolute_uri())
            dependencies = Dependencies.of(depends_on)
            return _answer(request, name, dependencies, compute, timeout)

        return wrapper  # type: ignore[return-value]

    return decorate


class _Nobody:
    """Stands for the user while a shared answer is computed."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self.__dict__["_handler"] = f"{handler.__module__}.{handler.__qualname__}"

    def _refuse(self, *args: object) -> Any:
        raise ImproperlyConfigured(
            f"{self.__dict__['_handler']} is a cached_response with shared=True, and asks who the"
            " user is. Leave shared out, and each user has an answer of their own."
        )

    __getattr__ = __setattr__ = __eq__ = __bool__ = __str__ = __int__ = __iter__ = _refuse
    __hash__ = _refuse


def _name(function: Callable[..., Any], *factors: object) -> str:
    every = (
        function.__module__,
        function.__qualname__,
        translation.get_language(),
        timezone.get_current_timezone_name(),
        *factors,
    )
    digest = hashlib.blake2b(repr(every).encode(), digest_size=16)
    return f"answer:{digest.hexdigest()}"


def _rendered(request: Request, view: Any, response: Any) -> HttpResponseBase:
    if isinstance(response, Response):  # as it would be when the view is done with it
        response.accepted_renderer = request.accepted_renderer
        response.accepted_media_type = request.accepted_media_type
        response.renderer_context = view.get_renderer_context()  # type: ignore[attr-defined]
        response.render()
    return response  # type: ignore[no-any-return]


def _kept(response: HttpResponseBase, shared: bool) -> bytes:
    """Return an answer as it is kept: its headers as JSON on a line, then the body."""
    if not isinstance(response, HttpResponse) or response.status_code != 200 or response.cookies:
        raise _NotKeptError(response)
    if "no-store" in response.get("Cache-Control", ""):
        raise _NotKeptError(response)
    if not shared:
        patch_vary_headers(response, ["Authorization", "Cookie"])
    response.setdefault("Cache-Control", "no-cache" if shared else "private, no-cache")
    content = response.content
    digest = hashlib.blake2b(content, digest_size=16, person=b"etag")
    response.setdefault("ETag", f'"{digest.hexdigest()}"')
    return json.dumps(dict(response.items())).encode() + b"\n" + content


def _answer(
    request: HttpRequest,
    name: str,
    dependencies: Dependencies,
    compute: Callable[[], bytes],
    timeout: int | None,
) -> HttpResponseBase:
    try:
        result = get_or_compute(name, dependencies, compute, timeout)
    except _NotKeptError as error:
        CACHE_REQUESTS.labels("responses", "bypass").inc()
        return error.response
    CACHE_REQUESTS.labels("responses", result.outcome).inc()
    return _response(request, result)


def _response(request: HttpRequest, result: Result) -> HttpResponseBase:
    head, _, body = result.value.partition(b"\n")
    response: Any = HttpResponse(body, headers=json.loads(head))
    response = get_conditional_response(request, etag=response["ETag"], response=response)
    status = _CACHE_STATUS.get(result.outcome, "fwd=bypass")
    response["Cache-Status"] = f"{settings.SERVICE_NAME}; {status}"
    return response  # type: ignore[no-any-return]


def _is_personal(request: HttpRequest) -> bool:
    """Tell whether a request says who sends it."""
    cookies = {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}
    return "Authorization" in request.headers or not cookies.isdisjoint(request.COOKIES)


def _became_personal(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Tell whether an answer was made for one visitor, or must not be kept by a shared cache."""
    session = getattr(request, "session", None)
    vary = {name.strip().lower() for name in response.get("Vary", "").split(",") if name.strip()}
    control = response.get("Cache-Control", "").lower()
    return (
        (session is not None and session.accessed)
        or "CSRF_COOKIE" in request.META
        or getattr(request, "_csp_nonce", None) is not None
        or not vary <= {"accept-encoding", "accept-language"}
        or "private" in control
    )
