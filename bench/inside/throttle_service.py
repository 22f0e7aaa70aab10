"""Measure the cost of a throttle's check; bench/throttle.py runs it inside a service.

As a settings module, it extends the service's settings with throttled views. As a program, it
measures Django REST framework's throttle, `limits` and the service's throttle, and prints JSON.
"""

import importlib
import json
import os
import statistics
import sys
import threading
import time
from functools import cache

PACKAGE = os.environ["BENCH_PACKAGE"]
LIMITS = (10, 100, 1000)
RATES = {"10/min": (10, 60), "1000/h": (1000, 3600), "10000/h": (10_000, 3600)}
_settings = vars(importlib.import_module(f"{PACKAGE}.settings"))
globals().update({name: value for name, value in _settings.items() if name.isupper()})

ROOT_URLCONF = "bench_urls"
REST_FRAMEWORK = {
    **globals()["REST_FRAMEWORK"],
    "DEFAULT_THROTTLE_RATES": {f"limit_{limit}": f"{limit}/hour" for limit in LIMITS},
}
CACHES = {
    **globals()["CACHES"],
    "stock": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": globals()["REDIS_URL"],
        "KEY_PREFIX": "stock",
    },
}
ROUNDS, CLIENTS = 15, 100


class Relay:
    """Forward connections to Redis, and count round trips and bytes."""

    def __init__(self, url):
        import socket
        from urllib.parse import urlsplit

        self._target = (urlsplit(url).hostname, urlsplit(url).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f":{self._target[1]}/", f":{self._listener.getsockname()[1]}/")
        self.trips = self.bytes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        import socket

        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._target)
            threading.Thread(target=self._pump, args=(client, server, 1), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, 0), daemon=True).start()

    def _pump(self, source, sink, trips):
        while data := source.recv(1 << 20):
            self.trips += trips  # the client waits for each reply before it sends again
            self.bytes += len(data)
            sink.sendall(data)


def subjects(url):
    """Return functions that prepare a check of a half-used limit, key patterns, and a client."""
    import limits as limits_library
    import redis
    from django.core.cache.backends.redis import RedisCache
    from rest_framework.request import Request
    from rest_framework.test import APIRequestFactory
    from rest_framework.throttling import ScopedRateThrottle
    from rest_framework.views import APIView
    from service_runtime.redis import client as redis_client
    from service_runtime.throttling import decisions, throttles
    from service_runtime.throttling import limiter as limiter_module

    ours_limiter = limiter_module.RedisLimiter(redis_client(url))
    decisions.limiter = lambda: ours_limiter
    storage = limits_library.storage.storage_from_string(url)
    moving = limits_library.strategies.MovingWindowRateLimiter(storage)
    stock_cache = RedisCache(url, {"KEY_PREFIX": "stock"})

    def view_for(throttle_class):
        class View(APIView):
            throttle_classes = [throttle_class]
            throttle_scope = "scope"

        return View()

    def request_from(client):
        return Request(APIRequestFactory().get("/", REMOTE_ADDR=client))

    @cache
    def stock_view(limit, period):
        class Throttle(ScopedRateThrottle):
            cache = stock_cache
            THROTTLE_RATES = {"scope": f"{limit}/{'min' if period == 60 else 'hour'}"}

        return view_for(Throttle)

    def stock(limit, period, client):
        view, request = stock_view(limit, period), request_from(client)
        (throttle,) = view.throttle_classes
        stock_cache.set(f"throttle_scope_{client}", [time.time()] * (limit // 2), period)
        return lambda: throttle().allow_request(request, view)

    @cache
    def our_view(limit, period):
        class Throttle(throttles.ScopedRateThrottle):
            rate = f"{limit}/{period}s"

        return view_for(Throttle)

    def ours(limit, period, client):
        view, request = our_view(limit, period), request_from(client)
        (throttle,) = view.throttle_classes
        key = decisions.key_of(f"scope={limit}", f"ip:{client}", period)
        ours_limiter.take([limiter_module.Limit(key, limit, period)], limit // 2)
        return lambda: throttle().allow_request(request, view)

    def limits_moving(limit, period, client):
        item = limits_library.RateLimitItemPerSecond(limit, period)
        for _ in range(limit // 2 // 500 + 1):
            moving.hit(item, client, cost=min(500, limit // 2))
        return lambda: moving.hit(item, client)

    keys = {
        "stock": lambda limit, period, client: f"stock:1:throttle_scope_{client}",
        "limits, moving window (bare call)": lambda limit, period, client: f"LIMITS:*{client}*",
        "this": lambda limit, period, client: decisions.key_of(
            f"scope={limit}", f"ip:{client}", period
        ),
    }
    functions = {"stock": stock, "limits, moving window (bare call)": limits_moving, "this": ours}
    return functions, keys, redis.Redis.from_url(url)


def measure(url):
    """Return µs, round trips, bytes and memory of a check: {rate: {subject: figures}}."""
    functions, keys, client = subjects(url)
    figures = {rate: {name: {"µs": []} for name in functions} for rate in RATES}
    number = 0
    for round_number in range(ROUNDS + 1):
        for rate, (limit, period) in RATES.items():
            for name in functions:
                checks = []
                for _ in range(CLIENTS):
                    number += 1
                    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
                    checks.append(functions[name](limit, period, address))
                started = time.perf_counter()
                for check in checks:
                    check()
                if round_number:  # the first round is a warm-up
                    spent = (time.perf_counter() - started) / CLIENTS * 1e6
                    figures[rate][name]["µs"].append(spent)
                client.flushdb()
    relay = Relay(url)
    relayed, _, _ = subjects(relay.url)
    for rate, (limit, period) in RATES.items():
        for name in functions:
            row = figures[rate][name]
            row["rounds"], row["µs"] = row["µs"], statistics.median(row["µs"])
            check = relayed[name](limit, period, "10.255.0.1")
            relay.trips = relay.bytes = 0
            check()
            row["round trips"], row["bytes"] = relay.trips, relay.bytes
            pattern = keys[name](limit, period, "10.255.0.1")
            matching = client.scan_iter(pattern, count=1000) if "*" in pattern else [pattern]
            row["memory"] = sum(client.memory_usage(key, samples=0) or 0 for key in matching)
            client.flushdb()
    return figures


if __name__ == "__main__":
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "throttle_service"
    django.setup()
    json.dump(measure(os.environ["REDIS_URL"]), sys.stdout)
