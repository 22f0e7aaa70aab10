"""Measure invalidation and print a table; bench/scale.py runs it inside a service."""

import importlib
import json
import os
import statistics
import threading
import time
from functools import partial

import django

django.setup()

# ruff: noqa: E402 - these imports need configured settings
import redis
from cacheops import invalidate_all, invalidate_model
from django.conf import settings

PACKAGE = os.environ["BENCH_PACKAGE"]
models = importlib.import_module(f"{PACKAGE}.blog.models")
from service_runtime.caching import keys, store

ENTRIES, RESULTS, BLOGS, BODY = 1_000_000, 10_000, 1_000, b"x" * 500
ROUNDS = 3
FIGURES = {}
server = redis.Redis.from_url(settings.REDIS_URL)


class Latency:
    """Measure the response times of Redis for another client during a `with` block."""

    def __enter__(self):
        self._stopping = threading.Event()
        self.times = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.started = time.perf_counter()
        return self

    def __exit__(self, *error):
        self.spent = time.perf_counter() - self.started
        self._stopping.set()
        self._thread.join()

    def _run(self):
        client = redis.Redis.from_url(settings.REDIS_URL)
        while not self._stopping.wait(0.002):
            started = time.perf_counter()
            client.ping()
            self.times.append(time.perf_counter() - started)


def measure(name, action):
    """Record the duration of an action, and Redis' response times for another client, in ms."""
    with Latency() as latency:
        action()
    waits = sorted(latency.times) or [0.0]
    found = (latency.spent, statistics.median(waits), waits[-1])
    FIGURES.setdefault(name, []).append([seconds * 1e3 for seconds in found])


def row(name, rounds):
    """Return the table's row."""
    spent, waits, longest = zip(*rounds, strict=True)
    return (
        f"| {name} | {statistics.median(spent):.1f} | {min(spent):.1f} to {max(spent):.1f} |"
        f" {statistics.median(waits):.2f} | {max(longest):.1f} |"
    )


def fill():
    """Store a million results of other views, which no action here invalidates."""
    prefix = keys.cacheops_prefix()
    for start in range(0, ENTRIES, 10_000):
        with server.pipeline(transaction=False) as pipeline:
            for number in range(start, start + 10_000):
                pipeline.set(prefix + f"result:{number:032x}", b"0" * 40 + b":" + BODY, ex=3600)
            pipeline.execute()


def measure_round():
    """Measure what a service does, with rows and results of its own."""
    blogs = store.Dependencies.of([models.Blog])
    author = models.Author.objects.create(name="Ada")
    create = partial(create_blogs, author)
    create()
    blog = models.Blog.objects.first()

    def store_results():
        for number in range(RESULTS):
            store.get_or_compute(f"result:of-blogs-{number}", blogs, lambda: BODY)

    measure(f"storing {RESULTS:,} results of blogs, one by one", store_results)
    measure(f"a save that invalidates {RESULTS:,} results", blog.save)
    assert store.get_or_compute("result:of-blogs-7", blogs, lambda: BODY).outcome == "miss"
    measure("the same save without cached results", blog.save)
    measure(f"a bulk_create of {BLOGS:,}", create)
    measure(f"deleting an author with {2 * BLOGS:,} blogs", author.delete)
    measure("invalidate_model", lambda: invalidate_model(models.Blog))


def create_blogs(author):
    """Create blogs at once."""
    models.Blog.objects.bulk_create(
        models.Blog(author=author, title=str(number), body="") for number in range(BLOGS)
    )


def main():
    before = server.info("memory")["used_memory"]
    fill()
    memory = server.info("memory")["used_memory"] - before
    for _ in range(ROUNDS):
        measure_round()
    measure("invalidate_all", invalidate_all)
    assert server.dbsize() < 10
    print(
        f"With {ENTRIES:,} results of {len(BODY)} bytes in Redis ({memory / ENTRIES:.0f} bytes"
        f" each, {memory / 2**20:.0f} MiB); medians of {ROUNDS} rounds in ms:\n"
    )
    print("| | duration | lowest to highest | another client's response time | its maximum |")
    print("|---|---|---|---|---|")
    for name, rounds in FIGURES.items():
        print(row(name, rounds))
    print("\0" + json.dumps(FIGURES))


if __name__ == "__main__":
    main()
