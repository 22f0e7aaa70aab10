"""Measure sections: `python -m bench [SECTION[:PART,…]…]`; without arguments, the default ones.

Each section writes docs/benchmarks/SECTION.md. BENCH_RESULTS names another folder.
"""

import sys
from importlib import import_module

SECTIONS = {
    "throttle": "the cost and the accuracy of throttles; several minutes",
    "cache": "cached responses and the alternatives; 2 minutes",
    "stale": "invalidations of a slow response, with and without `stale`; 3 minutes",
    "logging": "logging per record and per request; 2 minutes",
    "outage": "outages of Redis under load; 3 minutes",
    "scale": "invalidation with a million cached results; 2 minutes",
    "service": "the service, the stock set-up, the floor and peers; 20 minutes",
    "growth": "how cost grows with rows, clients, scopes, cache entries and users; 10 minutes",
    "generation": "generation, and the time to the first response",
    "limits": "slow clients, overload, the worker and 500,000 requests; 20 minutes",
    "cost": "what a request costs the service, Redis and PostgreSQL",
    "cluster": "throttles in a Redis Cluster",
    "dashboard": "the dashboard's panels, from a real Prometheus, during faults; 4 minutes",
    "simulation": "skew and stampedes, simulated",
}
DEFAULT = "throttle cache stale logging outage scale service".split()


def main(*arguments: str) -> None:
    """Measure the sections of the arguments, or the default ones.

    Raises:
        SystemExit: an argument names no section.
    """
    chosen = [argument.partition(":") for argument in arguments or DEFAULT]
    unknown = sorted({name for name, *_ in chosen} - SECTIONS.keys())
    if unknown:
        lines = "\n".join(f"  {name:11} {what}" for name, what in SECTIONS.items())
        sys.exit(f"There is no section {', '.join(unknown)}. The sections are:\n{lines}")
    for name, _, parts in chosen:
        import_module(f"bench.{name}").main(*filter(None, parts.split(",")))


if __name__ == "__main__":
    main(*sys.argv[1:])
