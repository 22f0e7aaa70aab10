"""Commands for a Redis Cluster, each sent to the node that serves the slot of its key."""

import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    TryAgainError,
)
from redis.utils import str_if_bytes

from ..conf import settings
from ..metrics import REDIS_CIRCUIT_OPEN
from .clients import connect, connection_options, new_breaker
from .resolver import FIRST_LOOKUP_SECONDS
from .threads import ThreadClients
from .urls import UNKNOWN_HOST, seeds_of, url_of_node

logger = logging.getLogger(__name__)
MAX_REDIRECTIONS = 5
# The mean time between two reads of the slots while a node is unavailable.
REFRESH_SECONDS = 0.5
_UNAVAILABLE = (redis.ConnectionError, redis.TimeoutError, ClusterDownError, ReadOnlyError)


def slot_of(key: str) -> int:
    """Return the slot of a key."""
    return key_slot(key.encode())


class Node:
    """A master, with a circuit breaker of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.host = str(urlsplit(url).hostname)
        self.breaker = new_breaker(url)
        client = redis.Redis.from_url(url, **connection_options(url, self.breaker))
        self.clients = ThreadClients(client)


class Cluster:
    """Send each command to the master that serves the slot of its key.

    An outage of a node affects the slots that it serves: their calls fail like those of a single
    server, after one timeout and then at once. MOVED and ASK are followed. A thread reads which
    node serves which slot: at first, after a redirection, and as long as a node is unavailable, so
    that a promoted replica is used within about a second.

    Args:
        url: names some nodes.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._seeds = seeds_of(url)
        self._name = ",".join(urlsplit(seed).netloc.rpartition("@")[2] for seed in self._seeds)
        self._nodes: dict[str, Node] = {}  # by URL
        self._slots: list[Node | None] = []
        self._failing: set[Node] = set()
        self._is_down = False
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """Prepare a forked child, where the parent's thread does not run."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_stale = False
        self._attempted = threading.Event()
        self._deadline = 0.0
        self._random = random.Random()  # noqa: S311

    @property
    def is_available(self) -> bool:
        """Whether the last call to each node succeeded."""
        with self._lock:
            return self._failing.isdisjoint(self._nodes.values())

    def execute(self, slot: int, *command: Any) -> Any:
        """Return the reply to a command whose keys are all in a slot.

        Raises:
            redis.RedisError: the slot's node is unavailable or rejects the command.
        """
        node = self._node_of(slot)
        is_asking = False
        for _ in range(MAX_REDIRECTIONS + 1):
            try:
                client = node.clients.get()
                if is_asking:
                    client.execute_command("ASKING")
                reply = client.execute_command(*command)
            except AskError as redirection:
                is_asking = not isinstance(redirection, MovedError)
                node = self._redirected(redirection, node)
            except (NoScriptError, TryAgainError):
                raise
            except redis.RedisError as error:
                self._failing.add(node)
                if isinstance(error, _UNAVAILABLE):
                    self._refresh()
                raise
            else:
                self._failing.discard(node)
                return reply
        raise redis.ConnectionError(f"Redis Cluster at {self._name} redirects without end")

    def _node_of(self, slot: int) -> Node:
        if not self._slots:
            self._refresh()
            self._attempted.wait(max(0.0, self._deadline - time.monotonic()))
        node = self._slots[slot] if self._slots else None
        if node is None:
            self._refresh()
            raise redis.ConnectionError(f"No known node of {self._name} serves slot {slot}")
        return node

    def _redirected(self, redirection: AskError, node: Node) -> Node:
        """Return the node that a reply names; without a host, it is that of the replying node.

        Raises:
            redis.ConnectionError: the replying node does not know the other's hostname yet.
        """
        if redirection.host == UNKNOWN_HOST:
            self._refresh()
            raise redis.ConnectionError(f"A node of {self._name} has no known hostname yet")
        url = url_of_node(self._url, redirection.host or node.host, redirection.port)
        with self._lock:
            target = self._nodes.get(url) or Node(url)
            self._nodes[url] = target
            if isinstance(redirection, MovedError):
                self._slots[redirection.slot_id] = target
        if isinstance(redirection, MovedError):
            self._refresh()
        return target

    def _refresh(self) -> None:
        """Read the slots in a thread; return at once."""
        # RuntimeError: the process cannot start a thread now. The next call tries again.
        with self._lock, suppress(RuntimeError):
            self._is_stale = True
            if self._thread is None:
                if not self._deadline:
                    timeout = max(settings.REDIS_SOCKET_TIMEOUT, FIRST_LOOKUP_SECONDS)
                    self._deadline = time.monotonic() + timeout
                thread = threading.Thread(target=self._run, name="redis-cluster", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._is_stale = False
            try:
                self._load()
            except Exception as error:  # any: if this thread ended, a failover would be missed
                self._set_down(error)
            else:
                self._set_down(None)
            self._attempted.set()
            # At random, so that not all processes ask at the same time.
            pause.wait(self._random.uniform(0.5, 1.5) * REFRESH_SECONDS)
            with self._lock:
                is_settled = self._slots and not self._is_down
                is_open = any(node.breaker.is_open for node in self._nodes.values())
                if is_settled and not is_open and not self._is_stale:
                    self._thread = None
                    return

    def _load(self) -> None:
        """Read which node serves which slot, from the first node that is part of the majority."""
        failure: Exception = redis.ConnectionError("no node is known")
        for url in self._sources():
            try:
                with connect(url) as client:
                    state = client.execute_command("CLUSTER INFO")["cluster_state"]
                    if state == "ok":
                        self._accept(url, client.execute_command("CLUSTER SLOTS"))
                        return
                    address = urlsplit(url).netloc.rpartition("@")[2]
                    failure = ClusterDownError(f"{address} has cluster_state:{state}")
            except (redis.RedisError, OSError) as error:
                failure = error
        raise failure

    def _sources(self) -> Iterator[str]:
        with self._lock:
            nodes = [node.url for node in self._nodes.values() if not node.breaker.is_open]
        for urls in (nodes, [seed for seed in self._seeds if seed not in nodes]):
            yield from self._random.sample(urls, len(urls))

    def _accept(self, source: str, ranges: Any) -> None:
        slots: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        nodes: dict[str, Node] = {}
        with self._lock:
            for first, last, (host, port, *_), *_ in ranges:
                known = str_if_bytes(host) or str(urlsplit(source).hostname)
                if known == UNKNOWN_HOST:
                    continue
                url = url_of_node(self._url, known, port)
                if url not in nodes:
                    nodes[url] = self._nodes.get(url) or Node(url)
                slots[first : last + 1] = [nodes[url]] * (last - first + 1)
            retired = [node for url, node in self._nodes.items() if url not in nodes]
            self._nodes, self._slots = nodes, slots
        for node in retired:
            node.breaker.retire()
        self._failing.intersection_update(nodes.values())

    def _set_down(self, error: Exception | None) -> None:
        is_down = error is not None
        if is_down != self._is_down:
            reason = f"unavailable: {error}" if is_down else "available again"
            logger.warning("Redis Cluster at %s is %s", self._name, reason)
        self._is_down = is_down
        REDIS_CIRCUIT_OPEN.labels(self._name).set(is_down)


@cache
def cluster_of(url: str) -> Cluster:
    """Return this process's client for a cluster's URL. Threads share it."""
    return Cluster(url)
