"""Decorators that keep what views answer."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.exceptions import ImproperlyConfigured, ValidationError
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

    Authentication, permissions and throttles run for every request; permissions on objects run in
    the handler, when an answer is computed. An answer is kept for the full URL, the media type, the
    version, the language and the time zone, and for each user and session, while nothing changes
    that it depends on. Only a 200 without cookies is kept. It has an ETag, which a client may send
    back for a 304, and is to be asked for each time (Cache-Control).

        @cached_response(Blog, Author, shared=True)
        def list(self, request, *args, **kwargs):
            return super().list(request, *args, **kwargs)

        @cached_response(lambda view: Blog.objects.filter(pk=view.kwargs["pk"]), shared=True)
        def retrieve(self, request, *args, **kwargs): ...

    Args:
        depends_on: models, any row of which counts; functions from the view to a queryset, of
            which the rows count that meet its conditions by `=` and `in`.
        shared: whether the answer is the same for everyone who gets this far. Asking for the user
            or the session then raises ImproperlyConfigured while an answer is computed.
        timeout: seconds to keep an answer; the smallest of the models' CACHEOPS timeouts when None.
        vary_on: returns what else the answer depends on, as a value with a `repr()` of its own.
    """
    if not depends_on:
        raise TypeError("cached_response needs the models whose changes make an answer stale.")
    models = [found for found in depends_on if isinstance(found, type)]
    functions = [found for found in depends_on if not isinstance(found, type)]

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def wrapper(*args: Any, **kwargs: Any) -> HttpResponseBase:
            request = _request_of(handler, args)
            if not _may_be_kept(request):
                return handler(*args, **kwargs)
            view = request.parser_context["view"]
            try:
                dependencies = Dependencies.of([*models, *(found(view) for found in functions)])
            except (TypeError, ValueError, ValidationError):  # no such row, as the handler will say
                return handler(*args, **kwargs)

            def compute() -> bytes:
                with _computing(request, handler, shared):
                    response = _rendered(request, view, handler(*args, **kwargs))
                vary = {"accept"} if shared else {"accept", "authorization", "cookie"}
                if not _is_keepable(response, vary) and vary_on is None:
                    raise _NotKeptError(response)
                return _kept(response, shared)

            name = _name(
                handler,
                request._request,
                request.accepted_media_type,
                request.version,
                None if shared else _visitor(request),
                None if vary_on is None else vary_on(request),
            )
            return _answer(request._request, name, dependencies, compute, timeout)

        return wrapper  # type: ignore[return-value]

    return decorate


def public_page(
    *depends_on: type[Model], timeout: int | None = None
) -> Callable[[Handler], Handler]:
    """Keep what a plain view answers to GET and HEAD, where it is the same for everyone.

    Nothing is read or kept for a request with an Authorization header or a cookie of sessions, CSRF
    or messages, and nothing is kept of an answer that sets a cookie, that is not a 200, that is
    encoded or varies, that says `private` or `no-store`, or whose view has looked at the session or
    messages, made a CSRF token or a nonce. Put `throttled`, other guards, and whatever marks the
    response for a middleware above it.

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
                if _became_personal(request) or not _is_keepable(response, {"accept-encoding"}):
                    raise _NotKeptError(response)
                return _kept(response, shared=True)

            dependencies = Dependencies.of(depends_on)
            return _answer(request, _name(view, request), dependencies, compute, timeout)

        return wrapper  # type: ignore[return-value]

    return decorate


class _Nobody:
    """Stands for the user, or the session, while a shared answer is computed."""

    def __init__(self, handler: Callable[..., Any], what: str) -> None:
        self.__dict__["_message"] = (
            f"{handler.__module__}.{handler.__qualname__} is a cached_response with shared=True,"
            f" and asks for the {what}. Leave shared out, and each user has an answer of their own."
        )

    def _refuse(self, *args: object) -> Any:
        raise ImproperlyConfigured(self.__dict__["_message"])

    __getattr__ = __setattr__ = __eq__ = __bool__ = __str__ = __int__ = __iter__ = _refuse
    __hash__ = __getitem__ = __setitem__ = __contains__ = __len__ = _refuse


@contextmanager
def _computing(request: Request, handler: Callable[..., Any], shared: bool) -> Iterator[None]:
    """Keep a shared answer from knowing who asks, and any from holding a CSRF token."""
    known: Any = request
    django: Any = request._request
    # What Request.user and Request.auth return, then what Django's own have.
    hidden = [(known, "_user", "user"), (known, "_auth", "user")]
    hidden += [(django, name, name) for name in ("user", "session") if hasattr(django, name)]
    before = [getattr(owner, name) for owner, name, _ in hidden] if shared else []
    token = django.META.pop("CSRF_COOKIE", None)
    try:
        if shared:
            for owner, name, what in hidden:
                setattr(owner, name, _Nobody(handler, what))
        yield
    finally:
        for (owner, name, _), value in zip(hidden, before, strict=False):
            setattr(owner, name, value)
        if "CSRF_COOKIE" not in django.META and token is not None:
            django.META["CSRF_COOKIE"] = token


def _request_of(handler: Callable[..., Any], args: tuple[Any, ...]) -> Request:
    for found in args[:2]:
        if isinstance(found, Request):
            return found
    name = getattr(handler, "__qualname__", handler)
    raise TypeError(f"{name} is a cached_response and no handler of a REST framework view.")


def _may_be_kept(request: Request) -> bool:
    user = request.user
    # Someone whom nothing tells from others cannot have an answer of their own.
    is_known = not getattr(user, "is_authenticated", False) or getattr(user, "pk", None) is not None
    for_people = isinstance(request.accepted_renderer, BrowsableAPIRenderer)
    return request.method in {"GET", "HEAD"} and is_known and not for_people


def _visitor(request: Request) -> object:
    """Return what tells users apart, and sessions, in which anonymous visitors have things too."""
    user = request.user
    session = request._request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    return type(user).__module__, type(user).__qualname__, getattr(user, "pk", None), session


def _name(function: Callable[..., Any], request: HttpRequest, *factors: object) -> str:
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


def _rendered(request: Request, view: Any, response: Any) -> HttpResponseBase:
    if isinstance(response, Response):  # as it would be when the view is done with it
        response.accepted_renderer = request.accepted_renderer
        response.accepted_media_type = request.accepted_media_type
        response.renderer_context = view.get_renderer_context()  # type: ignore[attr-defined]
    if callable(render := getattr(response, "render", None)):
        response = render()
    if "CSRF_COOKIE" in request._request.META and not response.cookies:
        raise _NotKeptError(response)  # it has a token in it
    return response  # type: ignore[no-any-return]


def _is_keepable(response: HttpResponseBase, vary: set[str]) -> bool:
    """Tell whether an answer may be given to others, as far as its headers say."""
    control = response.get("Cache-Control", "").lower()
    varies = {name.strip().lower() for name in response.get("Vary", "").split(",") if name.strip()}
    return (
        varies <= vary
        and "Content-Encoding" not in response
        and "no-store" not in control
        and ("private" not in control or "cookie" in vary)
    )


def _kept(response: HttpResponseBase, shared: bool) -> bytes:
    """Return an answer as it is kept: its headers as JSON on a line, then the body."""
    if not isinstance(response, HttpResponse) or response.status_code != 200 or response.cookies:
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
    headers = json.loads(head)
    response: Any = HttpResponse(body, headers=headers)
    if "Content-Type" not in headers:  # Django has made one up
        del response["Content-Type"]
    response = get_conditional_response(request, etag=response["ETag"], response=response)
    status = _CACHE_STATUS.get(result.outcome, "fwd=bypass")
    response["Cache-Status"] = f"{settings.SERVICE_NAME}; {status}"
    return response  # type: ignore[no-any-return]


def _is_personal(request: HttpRequest) -> bool:
    """Tell whether a request says who sends it."""
    cookies = {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, CookieStorage.cookie_name}
    return "Authorization" in request.headers or not cookies.isdisjoint(request.COOKIES)


def _became_personal(request: HttpRequest) -> bool:
    """Tell whether a view has looked at what belongs to one visitor."""
    session = getattr(request, "session", None)
    messages = getattr(request, "_messages", None)
    return (
        (session is not None and session.accessed)
        or (messages is not None and (messages.used or messages.added_new))
        or "CSRF_COOKIE" in request.META
        or getattr(request, "_csp_nonce", None) is not None
    )
