"""How to serve a URL without its view, as learned from responses of that view."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, NamedTuple

import redis
from django.db import connections
from django.http import HttpRequest
from django.urls import ResolverMatch
from django.utils import translation
from django.utils.http import parse_etags

from ..caching.keys import cacheops_prefix
from ..caching.payloads import cache_status, split
from ..caching.prefetched import Locale, Prefetched
from ..caching.slots import lock_of, readers, signed_value, verify
from ..caching.store import Result, is_bypassed, is_current_prefix, note_current, was_current
from ..client_address import address_of
from ..conf import settings
from ..metrics import cache_requests
from ..redis import Command, ThreadClients
from ..throttling.decisions import Decision, Scope, limiter, report
from ..throttling.headers import fields_of
from ..throttling.identity import client_of_address, is_exempt
from ..throttling.limiter import RedisLimiter
from ..throttling.state import Throttling, decide_early
from .denials import Denials, denial_of
from .held import Held, held


class Served(NamedTuple):
    """A response: its status, its headers and its body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Headers(NamedTuple):
    """The headers of a response, as learned from one.

    Attributes:
        fields: names and values.
        changing: the positions and lowercase names of those that each response computes.
    """

    fields: list[tuple[str, str]]
    changing: list[tuple[int, str]]


# What selects the headers: the status, the names of the throttles' fields, and whether there is a
# Retry-After.
Kind = tuple[int, tuple[str, ...], bool]


class Plan(NamedTuple):
    """How to serve a URL without its view.

    Attributes:
        match: the view, for metrics and logs.
        scopes: the scopes that a request counts in, without the client.
        cost: how many requests it counts as.
        locale: the active language and time zone.
        owner: the policy whose result the response is.
        prefix: cacheops' prefix, which a restart of Redis changes.
        keys: the keys of the result and its stamps. There are none before the first response that
            is not a denial.
        head: the stored headers. If they change, the view is called.
        stale: that of get_or_compute.
        headers: the headers of whole responses.
        denials: the body of the latest denial, by what it contains.
    """

    match: ResolverMatch
    scopes: list[Scope]
    cost: int
    locale: Locale
    owner: object
    prefix: str
    keys: list[str]
    head: bytes
    stale: float
    headers: dict[Kind, Headers]
    denials: dict[object, bytes]

    def serve(
        self, environ: dict[str, Any], denials: Denials, note: Callable[[Throttling], None]
    ) -> Served | None:
        """Return the response, or None if the view has to be called.

        Args:
            environ: the request's WSGI environment.
            denials: recent denials.
            note: called with the state of the throttling if the request was counted. The view's
                throttles must not count it again.
        """
        client = client_of_address(address_of(environ))
        scopes = [scope._replace(client=client) for scope in self.scopes]
        denial = denials.get(scopes, self.cost)
        if denial is not None and limiter().is_available and not is_exempt(environ):
            served = self._denial(environ, denial)
            if served is not None:
                report(denial)
                return served
        if not self._is_usable():
            return None
        known, commands = self._reads()
        is_recent = bool(self.stale) and was_current(self.keys[0], self.stale)
        now = time.monotonic()
        with (_counting_clients() or readers()).append(*commands) as appended:
            state, decision = decide_early(environ, scopes, self.cost)
        note(state)
        if decision is not None and not decision:
            denials.add(scopes, self.cost, decision, now)
            return self._denial(environ, decision)
        if decision is None or not commands:
            return None
        replies = appended.replies
        if replies is None:  # nothing was counted, or in another server
            replies = _read(commands)
        if not is_current_prefix(self.prefix):
            return None
        result = self._result(replies, known, is_recent)
        return result and self._response(environ, result, fields_of(decision.policies))

    def prefetch(self, request: HttpRequest) -> AbstractContextManager[object]:
        """Return a context in which the view's throttles read the response for its handler.

        Nothing of the project runs between the two: the view is eligible for the fast path.
        """
        known, commands = self._reads()
        clients = _counting_clients()
        if not (commands and clients and self._is_usable()):
            return nullcontext()
        appended = clients.append(*commands)
        request.prefetched = Prefetched(  # type: ignore[attr-defined]
            self.owner, self.locale, self.prefix, self.keys, self.stale, known, appended
        )
        return appended

    def _reads(self) -> tuple[Held | None, list[Command]]:
        """Return the known result, and the commands that confirm or read it."""
        if not self.keys:
            return None, []
        known = held.get(self.keys[0])
        return known, Held.commands(self.keys) if known else [("MGET", *self.keys)]

    def _is_usable(self) -> bool:
        return (
            settings.CACHEOPS_ENABLED
            and self.prefix == cacheops_prefix()
            and not is_bypassed(connections)
        )

    def _result(
        self, replies: list[Any] | None, known: Held | None, is_recent: bool
    ) -> Result | None:
        """Return the result: a stale but recent one only while a request computes the next one."""
        key, lock = self.keys[0], None
        if replies and known:
            if known.is_current(replies):
                return Result(known.value, "hit")
            replies = _read([("MGET", *self.keys, lock_of(key))])
            lock = replies and replies[0].pop()
        if not replies or isinstance(replies[0], Exception):
            return None
        value, _ = verify(key, replies[0])
        if value is not None:
            held.add(key, replies[0], value)
            return Result(value, "hit")
        former = signed_value(key, replies[0][0]) if lock and is_recent else None
        return Result(former, "stale") if former is not None else None

    def _response(
        self, environ: dict[str, Any], result: Result, fields: dict[str, str]
    ) -> Served | None:
        stored = split(result.value)
        if stored.head != self.head:
            return None
        given = environ.get("HTTP_IF_NONE_MATCH")
        is_known = given is not None and _matches(given, stored.etag)
        status, body = (304, b"") if is_known else (200, stored.body)
        values = {"etag": stored.etag}
        is_current = result.outcome == "hit"
        if self.stale:
            values["cache-status"] = cache_status("fast-path" if is_current else "stale")
        served = self._served(status, body, fields, values)
        if served is not None:
            if self.stale and is_current:
                note_current(self.keys[0])
            cache_requests("responses", result.outcome).inc()
        return served

    def _denial(self, environ: dict[str, Any], decision: Decision) -> Served | None:
        fields = fields_of(decision.policies)
        wait = str(math.ceil(decision.wait)) if decision.wait else ""
        fits = [policy.outcome.fits for policy in decision.policies]
        content = (wait, *fits, fields.get("RateLimit-Policy"))
        body = self.denials.get(content)
        if body is None:
            with translation.override(self.locale[0]):
                body, _ = denial_of(environ, decision)
            self.denials.clear()
            self.denials[content] = body
        return self._served(429, body, fields, {"retry-after": wait} if wait else {})

    def _served(
        self, status: int, body: bytes, fields: dict[str, str], values: dict[str, str]
    ) -> Served | None:
        """Return a response with the headers of the view's response, or None without any."""
        learned = self.headers.get((status, (*fields,), "retry-after" in values))
        if learned is None:
            return None
        values["content-length"] = str(len(body))
        for name, value in fields.items():
            values[name.lower()] = value
        headers = [*learned.fields]
        for position, name in learned.changing:
            if name not in values:  # such as an ETag of a denial, which middleware adds
                return None
            headers[position] = (headers[position][0], values[name])
        return Served(status, headers, body)


@lru_cache(maxsize=256)
def _matches(given: str, etag: str) -> bool:
    """Return whether If-None-Match has an ETag: several, weak ones, or `*` (RFC 9110, 13.1.2)."""
    tags = parse_etags(given)
    return tags == ["*"] or etag.removeprefix("W/") in {tag.removeprefix("W/") for tag in tags}


def _read(commands: list[Command]) -> list[Any] | None:
    """Return the replies to commands, or None if Redis is unavailable or rejects one."""
    try:
        return [readers().execute(*command) for command in commands]
    except redis.RedisError:
        return None


def _counting_clients() -> ThreadClients | None:
    """Return the clients that count requests, if their server has the cached responses, too."""
    counting = limiter()
    is_shared = settings.THROTTLING_REDIS_URL == settings.CACHEOPS_REDIS
    return counting.clients if is_shared and isinstance(counting, RedisLimiter) else None
