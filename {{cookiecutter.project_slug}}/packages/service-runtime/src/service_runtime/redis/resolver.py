"""Looks up the addresses of Redis, within bounds."""

import os
import socket
import threading
import time
from concurrent.futures import Future

import redis

FIRST_LOOKUP_SECONDS = 1.0
_known: dict[tuple[str, int], list[str]] = {}
# The lookups that go on, and until when (monotonic seconds) they are waited for.
_running: dict[tuple[str, int], tuple[Future[list[str]], float]] = {}
_lock = threading.Lock()


def addresses(host: str, port: int, seconds: float) -> list[str]:
    """Return a host's IP addresses: the resolver's, or its last ones while it is slow or fails.

    No timeout of a socket bounds a lookup, and in a cluster it takes several queries: a resolver
    that is slow says nothing of Redis. It goes on in a thread of its own, for the next connection;
    those that need an address at the same time share a lookup, and the time that it is waited for.

    Args:
        host: a name or an address.
        port: a TCP port.
        seconds: to wait for a lookup, but for the first FIRST_LOOKUP_SECONDS if that is longer.

    Raises:
        redis.TimeoutError: the first lookup took too long.
        OSError: there is no such name.
    """
    key, known = (host, port), _known.get((host, port))
    wait = seconds if known else max(seconds, FIRST_LOOKUP_SECONDS)
    with _lock:
        if key not in _running:
            answer: Future[list[str]] = Future()
            arguments = (key, answer)
            threading.Thread(
                target=_resolve, args=arguments, name="redis-resolver", daemon=True
            ).start()
            _running[key] = answer, time.monotonic() + wait
        answer, deadline = _running[key]
    try:
        return answer.result(max(0, deadline - time.monotonic()))
    except TimeoutError:
        if known:
            return known
        raise redis.TimeoutError(f"the name {host} was not resolved within {wait} s") from None
    except socket.gaierror as error:
        if known and error.errno == socket.EAI_AGAIN:
            return known
        raise


def _resolve(key: tuple[str, int], answer: Future[list[str]]) -> None:
    failure = None
    try:
        found = socket.getaddrinfo(*key, type=socket.SOCK_STREAM)
        _known[key] = list(dict.fromkeys(str(address[4][0]) for address in found))
    except OSError as error:
        failure = error
    with _lock:
        _running.pop(key, None)
    if failure:
        answer.set_exception(failure)
    else:
        answer.set_result(_known[key])


def _forget_lookups() -> None:
    """Wait for none that another process has begun."""
    global _lock
    _lock = threading.Lock()
    _running.clear()


os.register_at_fork(after_in_child=_forget_lookups)
