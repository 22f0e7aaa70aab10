"""Cached responses of REST framework views."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Model, QuerySet
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from ..conf import settings
from .answers import NotKeptError, answer, is_keepable, kept, name_of, rendered
from .dependencies import Dependencies, declare
from .isolation import Hidden, has_body, replaced, without

Dependency = type[Model] | Callable[[Any], QuerySet[Any]]
Factor = str | Callable[[Request], object]
Handler = TypeVar("Handler", bound=Callable[..., HttpResponseBase])
logger = logging.getLogger(__name__)


def cached_response(
    *depends_on: Dependency,
    shared: bool = False,
    timeout: int | None = None,
    vary_on: Factor | Sequence[Factor] = (),
) -> Callable[[Handler], Handler]:
    """Cache the responses of a Django REST framework handler to GET and HEAD.

    Authentication, permissions and throttles run for every request; permissions on objects run in
    the handler, when a response is computed. A response is cached for the full URL, the media type,
    the version, the language and the time zone, and for each user and session, until something
    changes that it depends on. Only a 200 without cookies is cached. It has an ETag, which a client
    may send back for a 304, and is to be revalidated each time (Cache-Control).

        @cached_response(Blog, Author, shared=True)
        def list(self, request, *args, **kwargs):
            return super().list(request, *args, **kwargs)

        @cached_response(lambda view: Blog.objects.filter(pk=view.kwargs["pk"]), shared=True)
        def retrieve(self, request, *args, **kwargs): ...

    Args:
        depends_on: models, any row of which counts; functions from the view to a queryset, of
            which the rows count that meet its conditions by `=` and `in`.
        shared: whether the response is the same for everyone who gets this far. While it is
            computed, reading the user or the session raises ImproperlyConfigured, and the header
            Authorization is absent.
        timeout: seconds to cache a response; the smallest of the models' CACHEOPS timeouts if None.
        vary_on: what else the response depends on: a header's name, a function that returns a value
            with its own `repr()` or a row, or several of these. A view may name these headers in
            Vary. Without "Cookie" among them, reading the cookies raises ImproperlyConfigured.
    """
    if not depends_on:
        raise TypeError("cached_response needs the models whose changes make a response stale.")
    models = [found for found in depends_on if isinstance(found, type)]
    functions = [found for found in depends_on if not isinstance(found, type)]
    factors = [vary_on] if isinstance(vary_on, str) or callable(vary_on) else list(vary_on)
    headers = [factor for factor in factors if isinstance(factor, str)]
    named = {header.lower() for header in headers}
    vary = {"accept", *named, *(() if shared else _CREDENTIALS)}
    if shared and not _CREDENTIALS.isdisjoint(named):
        raise TypeError(
            "A shared response cannot vary on Authorization or Cookie: leave shared out."
        )

    def decorate(handler: Handler) -> Handler:
        declare(handler, models)

        @wraps(handler)
        def wrapper(*args: Any, **kwargs: Any) -> HttpResponseBase:
            request = _request_of(handler, args)
            if not _is_cacheable(request):
                return handler(*args, **kwargs)
            view = request.parser_context["view"]
            try:
                dependencies = Dependencies.of([*models, *(found(view) for found in functions)])
            except (TypeError, ValueError, ValidationError):  # no such row, as the handler will say
                return handler(*args, **kwargs)
            except ImproperlyConfigured as error:  # of a queryset's model; the check has the others
                _report(f"{handler.__qualname__} is not cached. {error}")
                return handler(*args, **kwargs)

            def compute() -> bytes:
                with _computing(request, handler, shared, named):
                    response = _rendered(request, view, handler(*args, **kwargs))
                if not is_keepable(response, vary):
                    raise NotKeptError(response)
                patch_vary_headers(response, headers)
                return kept(response, shared)

            name = name_of(
                handler,
                request._request,
                request.accepted_media_type,
                request.version,
                None if shared else _visitor(request),
                *(_value_of(factor, request) for factor in factors),
            )
            return answer(request._request, name, dependencies, compute, timeout)

        return wrapper  # type: ignore[return-value]

    return decorate


_CREDENTIALS = frozenset({"authorization", "cookie"})


@cache
def _report(message: str) -> None:
    """Log a mistake of configuration once in each process."""
    logger.error(message)


def _value_of(factor: Factor, request: Request) -> object:
    if isinstance(factor, str):
        return request.headers.get(factor)
    value = factor(request)
    # What a model's repr() shows may be the same for several rows.
    return (value._meta.label, value.pk) if isinstance(value, Model) else value


@contextmanager
def _computing(
    request: Request, handler: Callable[..., Any], shared: bool, vary: set[str]
) -> Iterator[None]:
    """Hide from a response what is no part of its key: the caller, cookies and a CSRF token."""
    django = request._request
    hidden: dict[tuple[Any, str], Any] = {}
    absent = ["CSRF_COOKIE"]
    if shared:
        sentence = (
            "is a cached_response with shared=True, and reads the {}."
            " Leave shared out, and each user has a separate response."
        )
        absent.append("HTTP_AUTHORIZATION")
        user = Hidden(handler, sentence.format("user"))
        session = Hidden(handler, sentence.format("session"))
        own = {"user": user, "_cached_user": user, "session": session}
        hidden = {(django, name): own[name] for name in own if hasattr(django, name)}
        # What Request.user and Request.auth return.
        hidden |= {(request, "_user"): user, (request, "_auth"): user}
    if "cookie" not in vary:
        absent.append("HTTP_COOKIE")
        hidden[django, "COOKIES"] = Hidden(
            handler,
            "is a cached_response, and reads the cookies, which are no part of its key."
            " Add vary_on='Cookie', or cache nothing.",
        )
    with replaced(hidden), without(django, *absent):
        yield


def _request_of(handler: Callable[..., Any], args: tuple[Any, ...]) -> Request:
    for found in args[:2]:
        if isinstance(found, Request):
            return found
    name = getattr(handler, "__qualname__", handler)
    raise TypeError(f"{name} is a cached_response and no handler of a REST framework view.")


def _is_cacheable(request: Request) -> bool:
    user = request.user
    # A user without a primary key cannot be told from others.
    is_known = not getattr(user, "is_authenticated", False) or getattr(user, "pk", None) is not None
    is_browsable = isinstance(request.accepted_renderer, BrowsableAPIRenderer)
    is_read = request.method in {"GET", "HEAD"} and not has_body(request._request)
    return is_read and is_known and not is_browsable


def _visitor(request: Request) -> object:
    """Return what tells users apart, sessions, and credentials that no authenticator knows."""
    user, environ = request.user, request._request.META
    session = request._request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    is_known = getattr(user, "is_authenticated", False)
    credentials = None if is_known else environ.get("HTTP_AUTHORIZATION")
    return (
        *(type(user).__module__, type(user).__qualname__, getattr(user, "pk", None)),
        *(session, credentials),
    )


def _rendered(request: Request, view: Any, response: Any) -> HttpResponseBase:
    if isinstance(response, Response):  # as it would be when the view is done with it
        response.accepted_renderer = request.accepted_renderer
        response.accepted_media_type = request.accepted_media_type
        response.renderer_context = view.get_renderer_context()  # type: ignore[attr-defined]
    answered = rendered(response)
    if "CSRF_COOKIE" in request._request.META and not answered.cookies:
        raise NotKeptError(answered)  # it has a token in it
    return answered
