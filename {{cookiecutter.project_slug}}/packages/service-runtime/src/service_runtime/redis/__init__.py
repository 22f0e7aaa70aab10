"""Redis clients that fail fast: one circuit breaker per server, and bounded name resolution.

An outage costs each thread one timeout at most. While the circuit is open, calls fail at once with
`redis.ConnectionError`. A background thread probes the server and closes the circuit. Each node of
a Redis Cluster has a circuit breaker of its own.
"""

from .clients import breaker_for, client, connection_options, delete_by_prefix
from .cluster import Cluster, cluster_of, slot_of
from .threads import Appended, Command, ThreadClients
from .urls import is_cluster, seeds_of, url_fault

__all__ = [
    "Appended",
    "Cluster",
    "Command",
    "ThreadClients",
    "breaker_for",
    "client",
    "cluster_of",
    "connection_options",
    "delete_by_prefix",
    "is_cluster",
    "seeds_of",
    "slot_of",
    "url_fault",
]
