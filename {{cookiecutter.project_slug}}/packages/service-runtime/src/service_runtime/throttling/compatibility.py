"""The hooks and attributes of Django REST framework's throttles, for subclasses written for those.

docs/throttling.md lists what is supported and what is replaced.
"""

import inspect
from collections.abc import Set
from operator import attrgetter
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.functional import classproperty
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from ..client_address import client_address
from ..rates import BLOCK, Rate, Window, check_window, parse_rate, rate_text
from .decisions import configured_rates
from .identity import client_of, client_of_address, safe_name, tier_of

_HOOKS = ("get_cache_key", "cache_format", "get_ident", "get_rate", "parse_rate")
_hooks = attrgetter(*_HOOKS)
_OVERRIDE = (
    "override allow_request, whose super() call returns whether the request is allowed, or use the"
    " events and the metric in docs/throttling.md."
)


class _PartOfRate:
    """An item of parse_rate's result; an instance can set its own value."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        return instance.parse_rate(instance.rate or instance.get_rate())[self._index]


class _Unsupported:
    """An attribute that would have no effect: defining, reading or setting it is an error."""

    def __init__(self, replacement: str) -> None:
        self._replacement = replacement

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError(self.message(owner))

    def __set__(self, instance: object, value: object) -> None:
        raise AttributeError(self.message(type(instance)))

    def message(self, owner: type) -> str:
        """Return the error message, which names the replacement."""
        return f"{owner.__name__}.{self._name} has no effect in this throttle: {self._replacement}"


class FrameworkThrottle(BaseThrottle):
    """The hooks of a throttle that Django REST framework's classes have too.

    Attributes:
        scope: the scope, whose rate THROTTLE_<SCOPE> sets; the default is the class' name.
        rate: a rate of the class, instead of the scope's rate.
        cache_format: the format of get_cache_key's value, with a scope and an ident.
        THROTTLE_RATES: the rates of the scopes; the default is those of the settings.
        num_requests: the number of requests in the rate; an instance can set it.
        duration: the number of seconds in the rate; an instance can set it.
    """

    scope: str | None = None
    rate: str | None = None
    cache_format = "throttle_%(scope)s_%(ident)s"
    THROTTLE_RATES: Any = classproperty(lambda cls: configured_rates())
    num_requests: Any = _PartOfRate(0)
    duration: Any = _PartOfRate(1)
    _tier: str | None = None

    throttle_success = _Unsupported(_OVERRIDE)
    throttle_failure = _Unsupported(_OVERRIDE)
    cache = _Unsupported("requests are counted in the Redis of THROTTLING_REDIS_URL.")
    timer = _Unsupported("requests are counted by Redis' clock; tests give LocalLimiter a clock.")
    history = _Unsupported("requests are not listed; wait() and `manage.py throttles` have totals.")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, attribute in vars(FrameworkThrottle).items():
            # A different attribute is defined by the class or a mixin.
            if (
                isinstance(attribute, _Unsupported)
                and inspect.getattr_static(cls, name) != attribute
            ):
                raise TypeError(attribute.message(cls))

    def get_client(self, request: Request, view: APIView) -> str | None:
        """Return the client that the request is counted for, or None if it is not counted."""
        user = request.user
        if not (user and user.is_authenticated) and "get_ident" in self.overridden():
            return f"ident:{safe_name(str(self.get_ident(request)))}"
        return client_of(django_request(request), user)

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """Return a text that identifies the client, or None if the request is not counted.

        A subclass that overrides this or `cache_format` counts by it instead of `get_client`.
        """
        if self.get_client(request, view) is None:
            return None
        is_user = request.user and request.user.is_authenticated
        ident = request.user.pk if is_user else self.get_ident(request)
        return self.cache_format % {"scope": self.scope, "ident": ident}

    def get_ident(self, request: Request | HttpRequest) -> str | None:  # type: ignore[override]
        """Return the client's address by NUM_PROXIES; None for a peer without an address."""
        address = client_address(django_request(request))
        return client_of_address(address).removeprefix("ip:") if address else None

    def get_rate(self) -> str | None:
        """Return the rate of the scope.

        Raises:
            ImproperlyConfigured: the throttle has no scope, or the scope has no rate.
        """
        if not self.scope:
            raise ImproperlyConfigured(f"{type(self).__name__} has neither a scope nor a rate.")
        text = rate_text(self.THROTTLE_RATES, self.scope, self._tier)
        if text is None:
            raise ImproperlyConfigured(f"The throttle scope {self.scope!r} has no rate.")
        return text

    def parse_rate(self, rate: str | None) -> tuple[int | None, int | None]:
        """Return the requests and the seconds of a rate with one window; None, None for no limit.

        Raises:
            ValueError: the rate is malformed or has several windows.
        """
        windows = parse_rate(rate or "off").windows
        if len(windows) > 1:
            raise ValueError(f"{rate!r} must have one window here: parse_rate can return only one.")
        return windows[0] if windows else (None, None)

    @classmethod
    def has_own_rate(cls) -> bool:
        """Return whether the class defines its rate, instead of the settings."""
        uses_settings = cls.THROTTLE_RATES is configured_rates()
        return bool(cls.rate) or not uses_settings or "get_rate" in cls.overridden_hooks()

    def own_rate(self, overridden: Set[str], request: Request | None = None) -> Rate | None:
        """Return the rate that the class or instance defines; None if the settings define it.

        Raises:
            ImproperlyConfigured: the scope has no rate.
            ValueError: the rate is malformed.
        """
        is_parsed = not overridden.isdisjoint(("parse_rate", "num_requests", "duration"))
        uses_settings = self.THROTTLE_RATES is configured_rates()
        if uses_settings and not (is_parsed or self.rate or "get_rate" in overridden):
            return None
        if request is not None:
            self._tier = tier_of(django_request(request))
        if is_parsed:
            return _rate_of(self.num_requests, self.duration)
        return parse_rate(self.rate or self.get_rate() or "off")

    def overridden(self) -> Set[str]:
        """Return the names of the hooks that the class or the instance overrides."""
        return vars(self).keys() | self.overridden_hooks()

    @classmethod
    def overridden_hooks(cls) -> Set[str]:
        """Return the names of the hooks that the class overrides."""
        hooks = _hooks(cls)
        if hooks == _DEFAULT_HOOKS:  # the common case, which is quick
            return set()
        each = zip(_HOOKS, hooks, _DEFAULT_HOOKS, strict=True)
        return {name for name, hook, default in each if hook is not default}


_DEFAULT_HOOKS = _hooks(FrameworkThrottle)


def _rate_of(number: Any, seconds: Any) -> Rate:
    """Return the rate that an override of parse_rate or an instance defines.

    Raises:
        ValueError: the rate does not allow whole requests in whole seconds.
    """
    if number is None:
        return Rate(())
    if number == 0:
        return Rate((BLOCK,))
    if number != int(number) or seconds != int(seconds):
        raise ValueError(f"{(number, seconds)!r} must be whole requests and whole seconds.")
    return Rate((check_window(Window(int(number), int(seconds)), (number, seconds)),))


def django_request(request: Request | HttpRequest) -> HttpRequest:
    """Return the Django request that a REST framework request wraps, or a Django request itself."""
    return getattr(request, "_request", request)
