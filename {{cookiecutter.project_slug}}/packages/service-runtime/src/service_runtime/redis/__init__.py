"""Redis clients that fail fast: one circuit breaker per server, and bounded name resolution.

A call waits for a timeout at most once per outage and thread. While the circuit is open, calls fail
at once with `redis.ConnectionError`; a thread probes the server and closes the circuit.
"""

from .circuit_breaker import CircuitBreaker
from .clients import (
    ThreadClients,
    circuit_breaker,
    client,
    connection_options,
    delete_by_prefix,
    guard,
)

__all__ = [
    "CircuitBreaker",
    "ThreadClients",
    "circuit_breaker",
    "client",
    "connection_options",
    "delete_by_prefix",
    "guard",
]
