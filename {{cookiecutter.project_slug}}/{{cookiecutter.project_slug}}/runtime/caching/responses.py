"""Answers of REST framework views."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Model, QuerySet
from django.http.response import HttpResponseBase
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from .answers import NotKeptError, answer, is_keepable, kept, name_of, rendered
from .store import Dependencies

Dependency = type[Model] | Callable[[Any], QuerySet[Any]]
Handler = TypeVar("Handler", bound=Callable[..., HttpResponseBase])


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
                if not is_keepable(response, vary) and vary_on is None:
                    raise NotKeptError(response)
                return kept(response, shared)

            name = name_of(
                handler,
                request._request,
                request.accepted_media_type,
                request.version,
                None if shared else _visitor(request),
                None if vary_on is None else vary_on(request),
            )
            return answer(request._request, name, dependencies, compute, timeout)

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


def _rendered(request: Request, view: Any, response: Any) -> HttpResponseBase:
    if isinstance(response, Response):  # as it would be when the view is done with it
        response.accepted_renderer = request.accepted_renderer
        response.accepted_media_type = request.accepted_media_type
        response.renderer_context = view.get_renderer_context()  # type: ignore[attr-defined]
    answered = rendered(response)
    if "CSRF_COOKIE" in request._request.META and not answered.cookies:
        raise NotKeptError(answered)  # it has a token in it
    return answered
