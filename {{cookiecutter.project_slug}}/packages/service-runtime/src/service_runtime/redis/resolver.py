"""Name resolution with a timeout, which no socket option bounds."""

import os
import socket
from functools import cache

import redis

from ..single_flight import SingleFlight

FIRST_LOOKUP_SECONDS = 1.0
_known: dict[tuple[str, int], list[str]] = {}


def addresses(host: str, port: int, seconds: float) -> list[str]:
    """Return a host's IP addresses: fresh ones, or the last known while the resolver is slow.

    A lookup takes several queries in a cluster, and a slow resolver says nothing about Redis.
    Concurrent connections share a lookup and its deadline. A late result serves the next one.

    Args:
        host: a name or an address.
        port: a TCP port.
        seconds: the timeout; the first lookup has at least FIRST_LOOKUP_SECONDS.

    Raises:
        redis.TimeoutError: the first lookup timed out.
        redis.ConnectionError: the first lookup needs a thread, and none can be started.
        OSError: the name does not exist.
    """
    known = _known.get((host, port))
    timeout = seconds if known else max(seconds, FIRST_LOOKUP_SECONDS)
    try:
        return _lookup(host, port).run(timeout)
    except TimeoutError:
        if known:
            return known
        raise redis.TimeoutError(f"The name {host} was not resolved within {timeout} s") from None
    except RuntimeError as error:  # the process has reached its limit of threads
        if known:
            return known
        raise redis.ConnectionError(f"The name {host} was not resolved: {error}") from error
    except socket.gaierror as error:
        if known and error.errno == socket.EAI_AGAIN:
            return known
        raise


@cache
def _lookup(host: str, port: int) -> SingleFlight[list[str]]:
    def resolve() -> list[str]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        _known[host, port] = list(dict.fromkeys(str(address[4][0]) for address in found))
        return _known[host, port]

    return SingleFlight(resolve, "redis-resolver")


# The threads of lookups do not survive a fork.
os.register_at_fork(after_in_child=_lookup.cache_clear)
