"""Redis clients that fail fast: one circuit breaker per server, and bounded name resolution.

An outage costs each thread one timeout at most. While the circuit is open, calls fail at once with
`redis.ConnectionError`. A background thread probes the server and closes the circuit.
"""

from .clients import breaker_for, client, connection_options, delete_by_prefix
from .threads import ThreadClients

__all__ = ["ThreadClients", "breaker_for", "client", "connection_options", "delete_by_prefix"]
