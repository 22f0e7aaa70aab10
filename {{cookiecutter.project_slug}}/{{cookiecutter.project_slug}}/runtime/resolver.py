"""Looks up the addresses of Redis, within bounds."""

import socket
import threading
from concurrent.futures import Future

import redis

FIRST_LOOKUP_SECONDS = 1.0
_known: dict[tuple[str, int], list[str]] = {}


def addresses(host: str, port: int, seconds: float) -> list[str]:
    """Return a host's IP addresses: the resolver's, or its last ones while it is slow or fails.

    No timeout of a socket bounds a lookup, and in a cluster it takes several queries: a resolver
    that is slow says nothing of Redis. It goes on in a thread of its own, for the next connection.

    Args:
        host: a name or an address.
        port: a TCP port.
        seconds: to wait, but for the first lookup FIRST_LOOKUP_SECONDS if that is longer.

    Raises:
        redis.TimeoutError: the first lookup took too long.
        OSError: there is no such name.
    """
    answer: Future[list[str]] = Future()

    def resolve() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            answer.set_exception(error)
        else:
            _known[host, port] = list(dict.fromkeys(str(address[4][0]) for address in found))
            answer.set_result(_known[host, port])

    known = _known.get((host, port))
    threading.Thread(target=resolve, name="redis-resolver", daemon=True).start()
    wait = seconds if known else max(seconds, FIRST_LOOKUP_SECONDS)
    try:
        return answer.result(wait)
    except TimeoutError:
        if known:
            return known
        raise redis.TimeoutError(f"the name {host} was not resolved within {wait} s") from None
    except socket.gaierror as error:
        if known and error.errno == socket.EAI_AGAIN:
            return known
        raise
