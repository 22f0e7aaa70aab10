"""How to serve a URL without its view, as learned from a response of that view."""

from typing import Any, NamedTuple

import redis
from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.urls import ResolverMatch
from django.utils.cache import get_conditional_response

from ..caching.keys import cacheops_prefix
from ..caching.payloads import Source, Stored, split
from ..caching.slots import Slot, readers, verify
from ..caching.store import is_bypassed, note_current
from ..conf import settings
from ..metrics import cache_requests
from ..redis import Command, ThreadClients
from ..throttling.decisions import Scope, limiter
from ..throttling.headers import fields_of
from ..throttling.identity import client_of
from ..throttling.limiter import RedisLimiter
from ..throttling.state import decide_early
from .eligibility import has_hooks, obstacles
from .held import Held, held

# The headers of a response by their lowercase names, as Django stores them.
Headers = dict[str, tuple[str, str]]


class Plan(NamedTuple):
    """What serving a URL takes.

    Attributes:
        match: the view, for metrics and logs.
        scopes: the scopes that a request counts in, without the client.
        cost: how many requests it counts as.
        prefix: cacheops' prefix, which is another one after a restart of Redis.
        keys: the keys of the response and its stamps.
        head: the stored headers. If they change, the view is called.
        stale: that of get_or_compute.
        headers: the headers of the whole response, by its status and the fields of its throttles.
    """

    match: ResolverMatch
    scopes: list[Scope]
    cost: int
    prefix: str
    keys: list[str]
    head: bytes
    stale: float
    headers: dict[tuple[int, tuple[str, ...]], Headers]

    def serve(self, request: HttpRequest) -> Any:
        """Return the response, or None if the view has to be called.

        The request has been counted then, and the view's throttles do not count it again.
        """
        if not settings.CACHEOPS_ENABLED or self.prefix != cacheops_prefix():
            return None
        if is_bypassed(connections):
            return None
        known = held.get(self.keys[0])
        everything: list[Command] = [("MGET", *self.keys)]
        replies = self._count_and_read(request, Held.commands(self.keys) if known else everything)
        if replies is None:
            return None
        if known and known.is_current(replies):
            return self._response(request, known.stored)
        if known:
            replies = _read(everything)
        return self._verified(request, replies[0]) if replies else None

    def _count_and_read(self, request: HttpRequest, commands: list[Command]) -> list[Any] | None:
        """Count the request, and return the replies to the commands if it is allowed."""
        client = client_of(request, None)
        scopes = [scope._replace(client=client) for scope in self.scopes]
        with _clients().append(*commands) as appended:
            if not decide_early(request, scopes, self.cost):
                return None
        replies = appended.replies
        if replies is None:  # nothing was counted, or in another server
            return _read(commands)
        return None if any(isinstance(reply, Exception) for reply in replies) else replies

    def _verified(self, request: HttpRequest, values: list[Any]) -> Any:
        value, _ = verify(self.keys[0], values)
        if value is None:
            return None
        stored = split(value)
        held.add(self.keys[0], values, stored)
        return self._response(request, stored)

    def _response(self, request: HttpRequest, stored: Stored) -> Any:
        if stored.head != self.head:
            return None
        etag = request.META.get("HTTP_IF_NONE_MATCH")
        if etag == stored.etag:
            return self._with_headers(request, HttpResponseNotModified(), stored.etag)
        response: Any = HttpResponse(stored.body)
        if etag is not None:  # several tags, a weak one, or `*`
            response = get_conditional_response(request, etag=stored.etag, response=response)
        if response.status_code == 200:
            response["Content-Length"] = str(len(stored.body))
        return self._with_headers(request, response, stored.etag)

    def _with_headers(self, request: HttpRequest, response: Any, etag: str) -> Any:
        """Return the response with the headers of the view's response, or None."""
        fields = fields_of(request)
        known = self.headers.get((response.status_code, (*fields,)))
        if known is None:
            return None
        headers = {**known, "etag": ("ETag", etag)}
        if "Content-Length" in response:
            headers["content-length"] = ("Content-Length", response["Content-Length"])
        for name, field in fields.items():
            headers[name.lower()] = (name, field)
        response.headers._store = headers
        request.resolver_match = self.match
        if self.stale:
            note_current(self.keys[0])
        cache_requests("responses", "hit").inc()
        return response


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


def learn(request: HttpRequest, response: HttpResponse, plan: Plan | None) -> Plan | None:
    """Return a plan to serve the following requests like this one; None if that is impossible.

    Args:
        request: a request without credentials.
        response: the response of its view.
        plan: the previous plan for its URL.
    """
    source: Source | None = getattr(request, "cached_response", None)
    match = request.resolver_match
    if source is None or match is None or response.status_code not in {200, 304}:
        return None
    if response.cookies or has_hooks() or obstacles(match.func, str(request.method)):
        return None
    state: Any = getattr(request, "throttling", None)
    scopes = [scope._replace(client="") for scope in state.counted] if state else []
    cost = state.cost if state else 1
    prefix = cacheops_prefix()
    keys = Slot(prefix, prefix + source.name, source.dependencies.conditions).keys
    learned = Plan(match, scopes, cost, prefix, keys, source.head, source.stale, {})
    if plan and plan._replace(match=match, headers={}) == learned:
        learned = plan
    headers: Any = {**response.headers._store}
    headers["cache-status"] = ("Cache-Status", f"{settings.SERVICE_NAME}; hit; detail=fast-path")
    learned.headers[response.status_code, (*fields_of(request),)] = headers
    return learned
