"""Prometheus metrics, summed over gunicorn's workers."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    metrics,
    values,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector


class _Slot:
    """The place of this process among gunicorn's workers, which names its files.

    A worker that takes the place of one that is gone goes on with its files, so that counters stay
    right and files stay few.
    """

    name = "arbiter"
    of_the_next_fork = "arbiter"


def next_slot(name: str) -> None:
    """Say which place the next process that this one forks will take."""
    _Slot.of_the_next_fork = name


def _enter_slot() -> None:
    _Slot.name = _Slot.of_the_next_fork


os.register_at_fork(after_in_child=_enter_slot)

# A destructor may log, which counts, while its thread is counting: a plain lock would never open.
values.Lock = metrics.Lock = threading.RLock  # type: ignore[attr-defined, assignment]
if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    values.ValueClass = values.MultiProcessValue(lambda: _Slot.name)

REQUEST_DURATION = Histogram(
    "http_server_request_duration_seconds",
    "Time from the request's arrival in Django to its answer, in seconds.",
    ["method", "route", "status"],
)
ACTIVE_REQUESTS = Gauge(
    "http_server_active_requests", "Requests being served now.", multiprocess_mode="livesum"
)
REQUEST_THREADS = Gauge(
    "http_server_request_threads", "Threads that serve requests.", multiprocess_mode="livesum"
)
REDIS_CIRCUIT_OPEN = Gauge(
    "redis_circuit_open",
    "1 in a process that goes on without this Redis, since it does not answer.",
    ["server"],
    multiprocess_mode="livemax",
)
THROTTLE_REQUESTS = Counter(
    "throttle_requests_total",
    "Requests that a throttle has judged: allowed, denied, would_deny (in a shadow), or"
    " failed_open and failed_closed without its Redis.",
    ["scope", "outcome"],
)
_CACHE_REQUESTS = Counter(
    "cache_requests_total",
    "What was asked of a cache: hit, miss, collapsed (another request's computation was waited"
    " for), or bypass where it could not be used.",
    ["cache", "outcome"],
)
LOG_RECORDS = Counter("log_records_total", "Log records, written or not.", ["severity"])
LOG_RECORDS_DROPPED = Counter(
    "log_records_dropped_total", "Log lines that could not be written, or that nobody read in time."
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# The threads of this process that are in a request, and since when (monotonic seconds).
busy_since: dict[int, float] = {}


class MetricsMiddleware:
    """Measures each request under its route, never its path, so that labels stay few."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        thread = threading.get_ident()
        started = busy_since[thread] = time.monotonic()
        ACTIVE_REQUESTS.inc()
        is_sent_later = False
        try:
            response = self.get_response(request)
            is_sent_later = response.streaming
        finally:
            busy_since.pop(thread, None)
            if not is_sent_later:
                ACTIVE_REQUESTS.dec()
        if is_sent_later:
            _count_until_closed(response)
        match = request.resolver_match
        method = request.method if request.method in _METHODS else "other"
        route = match.route if match else "unmatched"
        _duration(method, route, response.status_code).observe(time.monotonic() - started)
        return response


def _count_until_closed(response: HttpResponse) -> None:
    """Count a request as active until its body, which is made while it is sent, was sent."""
    close = response.close

    def closed() -> None:
        response.close = close  # type: ignore[method-assign]
        ACTIVE_REQUESTS.dec()
        close()

    response.close = closed  # type: ignore[method-assign]


@cache
def _duration(method: str, route: str, status: int) -> Histogram:
    return REQUEST_DURATION.labels(method, route, status)


@cache
def cache_requests(name: str, outcome: str) -> Counter:
    """Return the counter of what was asked of a cache with this outcome."""
    return _CACHE_REQUESTS.labels(name, outcome)


class _Collector(MultiProcessCollector):
    """Sums what the workers' files hold."""

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for path in Path(self._path).glob("*.db") if _has_content(path)]
        metrics: Iterable[Metric] = self.merge(files, accumulate=True)  # type: ignore[no-untyped-call]
        return metrics


def _has_content(path: Path) -> bool:
    """Tell whether there is something in a worker's file, which is empty when it is just made."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # of a worker that has just ended
        return False


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    _Collector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
