"""What a throttle written for Django REST framework defines, and what it finds in its base.

docs/throttling.md has the table of what keeps its meaning and of what is replaced.
"""

import inspect
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from ..client_address import client_address
from ..rates import BLOCK, Rate, Window, check_window, parse_rate, rate_text
from .decisions import configured_rates
from .identity import client_of_address, tier_of


class _ConfiguredRates:
    """The settings' rates, read at each access."""

    def __get__(self, instance: object, owner: type) -> Mapping[str, str | None]:
        return configured_rates()


class _PartOfRate:
    """A number of the rate, unless an instance has set its own."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        return instance.parse_rate(instance.rate or instance.get_rate())[self._index]


class _Replaced:
    """An attribute that would have no effect here, so that defining or using it is an error."""

    def __init__(self, replacement: str) -> None:
        self._replacement = replacement
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError(self.sentence(owner))

    def __set__(self, instance: object, value: object) -> None:
        raise AttributeError(self.sentence(type(instance)))

    def sentence(self, owner: type) -> str:
        """Return what the attribute of a class does not do, and what does it instead."""
        return f"{owner.__name__}.{self._name} has no effect in this throttle: {self._replacement}"


_AROUND = (
    "override allow_request, whose super() call returns whether the request passes, or use the"
    " events and the metric in docs/throttling.md."
)


_hooks = attrgetter("get_cache_key", "cache_format", "get_ident", "get_rate", "parse_rate")


class FrameworkThrottle(BaseThrottle):
    """The part of a throttle that Django REST framework's classes have too.

    Attributes:
        rate: a rate of the class' own, instead of the scope's.
        cache_format: the text that get_cache_key returns of a scope and a client.
        THROTTLE_RATES: the rates of scopes, for a class that does not use the settings'.
        num_requests: the rate's number of requests, which an instance can set.
        duration: the rate's number of seconds, which an instance can set.
    """

    scope: str | None = None
    rate: str | None = None
    cache_format = "throttle_%(scope)s_%(ident)s"
    THROTTLE_RATES: Any = _ConfiguredRates()
    num_requests: Any = _PartOfRate(0)
    duration: Any = _PartOfRate(1)

    throttle_success = _Replaced(_AROUND)
    throttle_failure = _Replaced(_AROUND)
    cache = _Replaced("requests are counted in the Redis of THROTTLING_REDIS_URL.")
    timer = _Replaced("requests are counted by Redis' clock; tests give LocalLimiter a clock.")
    history = _Replaced("no list of requests exists; wait() and `manage.py throttles` have sums.")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, attribute in vars(FrameworkThrottle).items():
            # Another one is the class' own, or that of a mixin.
            if isinstance(attribute, _Replaced) and inspect.getattr_static(cls, name) != attribute:
                raise TypeError(attribute.sentence(cls))

    def get_client(self, request: Request, view: APIView) -> str | None:
        """Return whom the request is counted for, or None if it is not counted here."""
        raise NotImplementedError

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """Return a text that stands for the client, or None if the request is not counted here.

        A subclass that overrides this, or `cache_format`, counts by it, not by `get_client`.
        """
        if self.get_client(request, view) is None:
            return None
        is_user = request.user and request.user.is_authenticated
        ident = request.user.pk if is_user else self.get_ident(request)
        return self.cache_format % {"scope": self.scope, "ident": ident}

    def get_ident(self, request: Request | HttpRequest) -> str | None:  # type: ignore[override]
        """Return the address of the client, by NUM_PROXIES; None for a peer without one."""
        address = client_address(django_request(request))
        return client_of_address(address).removeprefix("ip:") if address else None

    def get_rate(self) -> str | None:
        """Return the rate of the scope.

        Raises:
            ImproperlyConfigured: the throttle has no scope, or the scope no rate.
        """
        if not self.scope:
            raise ImproperlyConfigured(f"{type(self).__name__} has neither a scope nor a rate.")
        return self._configured(self.scope)

    def parse_rate(self, rate: str | None) -> tuple[int | None, int | None]:
        """Return the requests and the seconds of a rate of one window; None, None for no limit.

        Raises:
            ValueError: it is not a rate, or has several windows.
        """
        windows = parse_rate(rate or "off").windows
        if len(windows) > 1:
            raise ValueError(f"{rate!r} must have one window here, since parse_rate returns one.")
        return windows[0] if windows else (None, None)

    @classmethod
    def has_own_rate(cls) -> bool:
        """Return whether the class brings its rate along, instead of the settings' one."""
        is_configured = cls.THROTTLE_RATES is configured_rates() and cls.inherits("get_rate")
        return bool(cls.rate) or not is_configured

    def own_rate(self, scope: str, request: Request | None = None) -> Rate | None:
        """Return the class' or instance's rate in a scope; None where the settings' counts.

        Raises:
            ImproperlyConfigured: the scope has no rate.
            ValueError: the rate is not one.
        """
        number, seconds = (vars(self).get(name) for name in ("num_requests", "duration"))
        is_parsed = number is not None or seconds is not None or self.overrides("parse_rate")
        if self.rate:
            text: str | None = self.rate
        elif self.overrides("get_rate"):
            text = self.get_rate()
        elif is_parsed or self.THROTTLE_RATES is not configured_rates():
            tier = tier_of(django_request(request)) if request is not None else None
            text = self._configured(scope, tier)
        else:
            return None
        if not is_parsed:
            return parse_rate(text or "off")
        parsed = self.parse_rate(text) if number is None or seconds is None else (None, None)
        return _rate_of_parts(
            parsed[0] if number is None else number, parsed[1] if seconds is None else seconds
        )

    def _configured(self, scope: str, tier: str | None = None) -> str:
        text = rate_text(self.THROTTLE_RATES, scope, tier)
        if text is None:
            raise ImproperlyConfigured(f"The throttle scope {scope!r} has no rate.")
        return text

    def overrides(self, name: str) -> bool:
        """Return whether a subclass or the instance has its own attribute of that name."""
        return name in vars(self) or getattr(type(self), name) is not getattr(
            FrameworkThrottle, name
        )

    def is_plain(self) -> bool:
        """Return whether neither a class nor the instance overrides anything: the quick check."""
        return not vars(self) and not self.rate and _hooks(type(self)) == _PLAIN_HOOKS

    @classmethod
    def inherits(cls, name: str) -> bool:
        """Return whether the class has an attribute from here."""
        return getattr(cls, name) is getattr(FrameworkThrottle, name)


_PLAIN_HOOKS = _hooks(FrameworkThrottle)


def _rate_of_parts(number: Any, seconds: Any) -> Rate:
    """Return the rate that an override of parse_rate means.

    Raises:
        ValueError: it is no rate of whole requests in whole seconds.
    """
    if number is None:
        return Rate(())
    if number == 0:
        return Rate((BLOCK,))
    if number != int(number) or seconds != int(seconds):
        raise ValueError(f"{(number, seconds)!r} must be whole requests and whole seconds.")
    return Rate((check_window(Window(int(number), int(seconds)), (number, seconds)),))


def django_request(request: Request | HttpRequest) -> HttpRequest:
    """Return the request that Django REST framework's request wraps, or Django's own itself."""
    return getattr(request, "_request", request)
