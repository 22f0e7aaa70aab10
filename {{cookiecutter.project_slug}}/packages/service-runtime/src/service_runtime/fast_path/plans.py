"""How to serve a URL without its view, as learned from responses of that view."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import redis
from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.urls import ResolverMatch
from django.utils import translation
from django.utils.cache import get_conditional_response
from rest_framework.exceptions import Throttled

from ..api.problems import body_of
from ..caching.keys import cacheops_prefix
from ..caching.payloads import Stored, split
from ..caching.slots import Prefetched, readers, verify
from ..caching.store import is_bypassed, is_current_prefix, note_current
from ..conf import settings
from ..metrics import cache_requests
from ..redis import Command, ThreadClients
from ..throttling.decisions import Decision, Scope, limiter
from ..throttling.headers import fields_of
from ..throttling.identity import client_of
from ..throttling.limiter import RedisLimiter
from ..throttling.state import decide_early
from .held import Held, held

# The headers of a response by their lowercase names, as Django stores them.
Headers = dict[str, tuple[str, str]]
# What selects the headers: the status, the names of the throttles' fields, whether there is a
# Retry-After, and the language of an error.
Kind = tuple[int, tuple[str, ...], bool, str | None]


class Plan(NamedTuple):
    """How to serve a URL without its view.

    Attributes:
        match: the view, for metrics and logs.
        scopes: the scopes that a request counts in, without the client.
        cost: how many requests it counts as.
        prefix: cacheops' prefix, which a restart of Redis changes.
        keys: the keys of the response and its stamps.
        head: the stored headers. If they change, the view is called.
        stale: that of get_or_compute.
        headers: the headers of whole responses.
    """

    match: ResolverMatch
    scopes: list[Scope]
    cost: int
    prefix: str
    keys: list[str]
    head: bytes
    stale: float
    headers: dict[Kind, Headers]

    def serve(self, request: HttpRequest) -> Any:
        """Return the response, or None if the view has to be called.

        The request has been counted then, and the view's throttles do not count it again.
        """
        if not self._is_usable():
            return None
        client = client_of(request, None)
        scopes = [scope._replace(client=client) for scope in self.scopes]
        known = held.get(self.keys[0])
        commands = Held.commands(self.keys) if known else [("MGET", *self.keys)]
        with _clients().append(*commands) as appended:
            decision = decide_early(request, scopes, self.cost)
        if not decision:
            return None if decision is None else self._denial(request, decision)
        replies = appended.replies
        if replies is None:  # nothing was counted, or in another server
            replies = _read(commands)
        stored = self._stored(replies, known) if is_current_prefix(self.prefix) else None
        return stored and self._response(request, stored)

    def prefetch(self, request: HttpRequest) -> AbstractContextManager[object]:
        """Return a context in which the view's throttles read the response for its handler.

        Nothing of the project runs between the two: the view is eligible for the fast path.
        """
        if not self._is_usable():
            return nullcontext()
        appended = _clients().append(("MGET", *self.keys))
        request.prefetched = Prefetched(self.keys, appended)  # type: ignore[attr-defined]
        return appended

    def _is_usable(self) -> bool:
        return (
            settings.CACHEOPS_ENABLED
            and self.prefix == cacheops_prefix()
            and not is_bypassed(connections)
        )

    def _denial(self, request: HttpRequest, decision: Decision) -> Any:
        error = Throttled(decision.wait or None)
        body, _ = body_of(request, error)
        response = HttpResponse(body, status=429)
        if decision.wait:
            response["Retry-After"] = str(math.ceil(decision.wait))
        return self._with_headers(request, response)

    def _stored(self, replies: list[Any] | None, known: Held | None) -> Stored | None:
        if replies and known:
            if known.is_current(replies):
                return known.stored
            replies = _read([("MGET", *self.keys)])
        if not replies or isinstance(replies[0], Exception):
            return None
        value, _ = verify(self.keys[0], replies[0])
        if value is None:
            return None
        stored = split(value)
        held.add(self.keys[0], replies[0], stored)
        return stored

    def _response(self, request: HttpRequest, stored: Stored) -> Any:
        if stored.head != self.head:
            return None
        given = request.META.get("HTTP_IF_NONE_MATCH")
        if given == stored.etag:
            response: Any = HttpResponseNotModified()
        else:
            response = HttpResponse(stored.body)
            if given is not None:  # several tags, a weak one, or `*`
                response = get_conditional_response(request, stored.etag, response=response)
        response["ETag"] = stored.etag
        served = self._with_headers(request, response)
        if served is not None:
            if self.stale:
                note_current(self.keys[0])
            cache_requests("responses", "hit").inc()
        return served

    def _with_headers(self, request: HttpRequest, response: Any) -> Any:
        """Return the response with the headers of the view's response, or None."""
        fields = fields_of(request)
        known = self.headers.get(kind_of(response, fields))
        if known is None:
            return None
        headers = {**known}
        for name in ("ETag", "Retry-After"):
            if name in response:
                headers[name.lower()] = (name, response[name])
        if "content-length" in headers:
            headers["content-length"] = ("Content-Length", str(len(response.content)))
        for name, field in fields.items():
            headers[name.lower()] = (name, field)
        response.headers._store = headers
        request.resolver_match = self.match
        return response


def kind_of(response: HttpResponse, fields: dict[str, str]) -> Kind:
    """Return what selects the headers of a response.

    Args:
        response: the response.
        fields: those of the throttles.
    """
    language = translation.get_language() if response.status_code == 429 else None
    return response.status_code, (*fields,), "Retry-After" in response, language


def _read(commands: list[Command]) -> list[Any] | None:
    """Return the replies to commands, or None if Redis is unavailable or rejects one."""
    try:
        return [readers().execute(*command) for command in commands]
    except redis.RedisError:
        return None


def _clients() -> ThreadClients:
    """Return the clients that count requests, if the same server has the cached responses."""
    counting = limiter()
    is_shared = settings.THROTTLING_REDIS_URL == settings.CACHEOPS_REDIS
    return counting.clients if is_shared and isinstance(counting, RedisLimiter) else readers()
