"""Measure throttles in a Redis Cluster and print tables; bench/cluster.py runs it in a service."""

import os
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import django

os.environ["DJANGO_SETTINGS_MODULE"] = f"{os.environ['BENCH_PACKAGE']}.settings"
django.setup()

# ruff: noqa: E402 - these imports need configured settings
import redis
from service_runtime.local_redis import find_server
from service_runtime.redis import Cluster, client
from service_runtime.throttling.cluster_limiter import ClusterLimiter
from service_runtime.throttling.decisions import key_of
from service_runtime.throttling.limiter import Limit, RedisLimiter
from tests.clusters import local_cluster

ROUNDS, CHECKS, THREADS, FAILOVERS = 9, 3000, 8, 5


def limit_of(number, limit=1_000_000_000):
    return Limit(key_of("scope", f"user:{number}", 3600), limit, 3600)


def costs(single, cluster):
    """Return the median µs per check, and those of this process's CPU, by limiter and clients."""
    subjects = {
        "one server": (single, 1),
        "one server, two clients": (single, 2),
        "cluster": (cluster, 1),
        "cluster, two clients in two slots": (cluster, 2),
    }
    found = {name: [] for name in subjects}
    for number in range(ROUNDS + 1):
        for name, (limiter, clients) in subjects.items():
            started, busy = time.perf_counter(), time.process_time()
            for check in range(CHECKS):
                limiter.take([limit_of(check % 100 + 1000 * each) for each in range(clients)])
            if number:
                spent = time.perf_counter() - started, time.process_time() - busy
                found[name].append([seconds / CHECKS * 1e6 for seconds in spent])
    return {
        name: list(map(statistics.median, zip(*rounds, strict=True)))
        for name, rounds in found.items()
    }


class Callers:
    """Call the limiter for one client in threads; note outcomes, errors and durations."""

    def __init__(self, limiter, limit):
        self.admitted = self.denied = 0
        self.errors, self.slowest = [], 0.0
        self._limiter, self._limit = limiter, limit
        self._lock, self._stopping = threading.Lock(), threading.Event()

    def _run(self):
        while not self._stopping.is_set():
            started, fits, failed = time.monotonic(), False, False
            try:
                fits = self._limiter.take([self._limit])[0].fits
            except redis.RedisError:
                failed = True
            ended = time.monotonic()
            with self._lock:
                self.slowest = max(self.slowest, ended - started)
                self.admitted += fits
                self.denied += not (fits or failed)
                if failed:
                    self.errors.append(ended)
            time.sleep(0.001)

    def __enter__(self):
        self._pool = ThreadPoolExecutor(THREADS)
        for _ in range(THREADS):
            self._pool.submit(self._run)
        return self

    def __exit__(self, *error):
        self._stopping.set()
        self._pool.shutdown()

    @property
    def open_seconds(self):
        return self.errors[-1] - self.errors[0] if self.errors else 0.0


def until(condition):
    while not condition():
        time.sleep(0.01)


def failover(nodes, kill):
    """Return the callers of a client's shard during a failover."""
    key = nodes.oldest_key([limit_of(number).key for number in range(30)])
    limit = Limit(key, 2000, 3600)
    limiter = ClusterLimiter(Cluster(nodes.url))
    limiter.reset([key])
    master = nodes.master_of(key)
    replica = nodes.replica_of(master)
    with Callers(limiter, limit) as callers:
        until(lambda: callers.admitted > 200)
        if kill:
            master.stop()
            until(lambda: callers.errors)
        else:
            replica.cluster("FAILOVER")
        until(lambda: replica.role == "master")
        until(lambda: callers.denied > 100)
    nodes.heal()
    return callers


def row(name, nodes, kill):
    """Return the table's row for several failovers."""
    found = [failover(nodes, kill) for _ in range(FAILOVERS)]
    opened = [callers.open_seconds for callers in found]
    return (
        f"| {name} | {statistics.median(opened):.2f} | {max(opened):.2f} |"
        f" {max(callers.slowest for callers in found) * 1e3:.0f} |"
        f" {max(callers.admitted for callers in found) - 2000} |"
    )


def main():
    program = find_server()
    rows = []
    for seconds in (1, 5):
        with local_cluster(program, seconds * 1000) as nodes:
            if seconds == 1:
                single = RedisLimiter(client(os.environ["REDIS_URL"]))
                figures = costs(single, ClusterLimiter(Cluster(nodes.url)))
                rows.append(row("CLUSTER FAILOVER", nodes, kill=False))
            name = f"a master is killed, cluster-node-timeout {seconds} s"
            rows.append(row(name, nodes, kill=True))
    print("All servers share two cores; a master of the cluster also replicates each count:\n")
    print("| check | µs | of them CPU of the service |\n|---|---|---|")
    for name, (elapsed, busy) in figures.items():
        print(f"| {name} | {elapsed:.0f} | {busy:.0f} |")
    print(
        f"\n{FAILOVERS} failovers each, while {THREADS} threads of one process count one client"
        " with a limit of 2000:\n\n"
        "| event | scopes open, s: median | maximum | slowest call, ms | over the limit |\n"
        "|---|---|---|---|---|"
    )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
