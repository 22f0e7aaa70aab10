"""Cached responses of REST framework views.

    @cached_response(Blog, Author, shared=True)
    def list(self, request, *args, **kwargs):
        return super().list(request, *args, **kwargs)

    @cached_response(lambda view: Blog.objects.filter(pk=view.kwargs["pk"]), shared=True)
    def retrieve(self, request, *args, **kwargs): ...

Authentication, permissions and throttles run for every request; permissions on objects run in the
handler, when a response is computed. A response is cached for the full URL, the media type, the
version, the language and the time zone, and for each user and session, until a dependency changes.
Only a 200 without cookies is cached. Its ETag allows a 304, and Cache-Control makes clients
revalidate each time.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial, wraps
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Model, QuerySet
from django.http.response import HttpResponseBase
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from ..conf import settings
from .dependencies import Dependencies, declare
from .isolation import UrlArguments, anonymous, is_read, without_database
from .payloads import NotCacheableError, key_of, render, respond, response_of, serialize
from .prefetched import prefetched_value
from .store import Result

Dependency = type[Model] | Callable[[Any], QuerySet[Any]]
Factor = str | Callable[[Request], object]
Handler = TypeVar("Handler", bound=Callable[..., HttpResponseBase])
logger = logging.getLogger(__name__)
_CREDENTIALS = frozenset({"authorization", "cookie"})


def cached_response(
    *depends_on: Dependency,
    shared: bool = False,
    public: bool = False,
    timeout: int | None = None,
    stale: float = 0,
    vary_on: Factor | Sequence[Factor] = (),
) -> Callable[[Handler], Handler]:
    """Cache the responses of a Django REST framework handler to GET and HEAD.

    Args:
        depends_on: models, any row of which counts; functions from the view to a queryset, where
            the rows count that meet its conditions by `=` and `in`.
        shared: whether all callers get the same response. While it is computed, reading the user
            or the session raises ImproperlyConfigured, and the Authorization header is absent.
        public: whether, moreover, anyone can read it. FastPathMiddleware then serves it to callers
            without credentials, and does not check permissions. A check finds views that this would
            change. The functions in `depends_on` can use the view's `kwargs`, but no database and
            nothing else that changes, such as the date.
        timeout: the TTL in seconds; the smallest of the models' CACHEOPS timeouts if None.
        stale: for how many seconds after an invalidation a shared response may still be served,
            while one request computes the next one.
        vary_on: further factors of the response: a header's name, a function that returns a value
            with its own `repr()` or a row, or several of these. The view may name these headers in
            Vary. Without "Cookie", reading the cookies raises ImproperlyConfigured.
    """
    if not depends_on:
        raise TypeError("cached_response needs the models whose changes make a response stale.")
    factors = [vary_on] if isinstance(vary_on, str) or callable(vary_on) else list(vary_on)
    if public and factors:
        raise TypeError("A public response cannot have vary_on: use shared=True instead.")
    if stale and not (shared or public):
        raise TypeError("stale needs shared=True: it would extend a user's former rights.")
    policy = _Policy(depends_on, shared or public, public, timeout, stale, factors)

    def decorate(handler: Handler) -> Handler:
        declare(handler, policy.models)

        @wraps(handler)
        def wrapper(*args: Any, **kwargs: Any) -> HttpResponseBase:
            return policy.respond(handler, args, kwargs)

        # Another decorator around it copies the attribute, but is another function.
        wrapper.public_handler = wrapper if public else None  # type: ignore[attr-defined]
        return wrapper  # type: ignore[return-value]

    return decorate


class _Policy:
    """The arguments of a cached_response."""

    def __init__(
        self,
        depends_on: Any,
        shared: bool,
        public: bool,
        timeout: int | None,
        stale: float,
        factors: list[Factor],
    ) -> None:
        self.models = [found for found in depends_on if isinstance(found, type)]
        self._querysets = [found for found in depends_on if not isinstance(found, type)]
        self._shared = shared
        self._public = public
        self._timeout = timeout
        self._stale = stale
        self._factors = factors
        self._headers = [factor for factor in factors if isinstance(factor, str)]
        self._named = {header.lower() for header in self._headers}
        self._vary = {"accept", *self._named, *(() if shared else _CREDENTIALS)}
        if shared and not _CREDENTIALS.isdisjoint(self._named):
            raise TypeError(
                "A shared response cannot vary on Authorization or Cookie: remove shared=True."
            )

    def respond(self, handler: Any, args: Any, kwargs: Any) -> HttpResponseBase:
        """Return the handler's response, from the cache if possible."""
        request = next((found for found in args[:2] if isinstance(found, Request)), None)
        if request is None:
            name = getattr(handler, "__qualname__", handler)
            raise TypeError(f"{name} is a cached_response, but not a REST framework handler.")
        is_cacheable = _is_cacheable(request)
        if is_cacheable and (value := prefetched_value(request._request, self)) is not None:
            return response_of(request._request, Result(value, "hit"))
        dependencies = self._dependencies(handler, request) if is_cacheable else None
        if dependencies is None:
            response: HttpResponseBase = handler(*args, **kwargs)
            # That of another cached response, which the handler may have used.
            request._request.cached_response = None  # type: ignore[attr-defined]
            return response
        key = key_of(
            handler,
            request._request,
            *(request.accepted_media_type, request.version),
            None if self._shared else _visitor(request),
            *(_value_of(factor, request) for factor in self._factors),
        )
        compute = partial(self._compute, handler, request, args, kwargs)
        return respond(
            *(request._request, key, dependencies, compute),
            *(self._timeout, self._stale, self if self._public else None),
        )

    def _dependencies(self, handler: Any, request: Request) -> Dependencies | None:
        view = request.parser_context["view"]
        try:
            if self._public and self._querysets:
                with without_database():
                    return self._find_dependencies(UrlArguments(view.kwargs))
            return self._find_dependencies(view)
        except (TypeError, ValueError, ValidationError):  # an invalid key: the handler will say so
            return None
        except ImproperlyConfigured as error:  # a queryset's model; a check finds the others
            _report(f"{handler.__qualname__} is not cached. {error}")
            return None

    def _find_dependencies(self, view: Any) -> Dependencies:
        return Dependencies.of([*self.models, *(found(view) for found in self._querysets)])

    def _compute(self, handler: Any, request: Request, args: Any, kwargs: Any) -> bytes:
        with anonymous(request, handler, self._shared, "cookie" in self._named):
            response = handler(*args, **kwargs)
            if isinstance(response, Response):  # as the view would do afterwards
                view: Any = request.parser_context["view"]
                response.accepted_renderer = request.accepted_renderer
                response.accepted_media_type = request.accepted_media_type
                response.renderer_context = view.get_renderer_context()  # type: ignore[attr-defined]
            response = render(response)
            django = request._request
            # The response contains a token, or a nonce of its Content-Security-Policy.
            if "CSRF_COOKIE" in django.META or getattr(django, "_csp_nonce", None) is not None:
                raise NotCacheableError(response)
        return serialize(response, self._shared, self._vary, self._headers)


@cache
def _report(message: str) -> None:
    """Log a configuration error once per process."""
    logger.error(message)


def _value_of(factor: Factor, request: Request) -> object:
    if isinstance(factor, str):
        return request.headers.get(factor)
    value = factor(request)
    # Several rows may have the same repr().
    return (value._meta.label, value.pk) if isinstance(value, Model) else value


def _is_cacheable(request: Request) -> bool:
    user = request.user
    # Users without a primary key cannot be distinguished.
    is_known = not getattr(user, "is_authenticated", False) or getattr(user, "pk", None) is not None
    is_browsable = isinstance(request.accepted_renderer, BrowsableAPIRenderer)
    return is_read(request._request) and is_known and not is_browsable


def _visitor(request: Request) -> object:
    """Return the user, the session, and credentials that no authenticator accepts."""
    user, environ = request.user, request._request.META
    session = request._request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    is_known = getattr(user, "is_authenticated", False)
    credentials = None if is_known else environ.get("HTTP_AUTHORIZATION")
    return (
        *(type(user).__module__, type(user).__qualname__, getattr(user, "pk", None)),
        *(session, credentials),
    )
