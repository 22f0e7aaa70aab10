"""URLs of servers and of Redis Clusters.

    redis+cluster://user:password@host:6379,host:6379

names some nodes of a cluster (rediss+cluster:// for TLS); the others are found through them.
"""

import re
from urllib.parse import urlsplit

import redis

_CLUSTER = "+cluster"
# The host of a node that has not told the others its hostname yet.
UNKNOWN_HOST = "?"


def is_cluster(url: str) -> bool:
    """Return whether a URL names a Redis Cluster."""
    return url.partition("://")[0].endswith(_CLUSTER)


def seeds_of(url: str) -> list[str]:
    """Return the URL of each node that a cluster's URL names."""
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    return [_node_url(url, host) for host in hosts]


def url_of_node(url: str, host: str, port: int) -> str:
    """Return the URL of another node of the cluster."""
    return _node_url(url, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def url_fault(url: str) -> str | None:
    """Return the rule that the URL of one server violates, or None. It repeats no part of it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "The host or the port is invalid."
    if url.partition("://")[0] not in {"redis", "rediss", "unix"}:
        return "The scheme must be redis, rediss or unix."
    if parts.scheme == "unix":
        if not parts.path:
            return "The path of the socket is missing."
    elif not parts.hostname:
        return "The host is missing."
    elif not re.fullmatch(r"/?[0-9]*", parts.path):
        return "The path must be the number of a database."
    try:
        # Opens no connection, and raises the errors that redis-py would raise at the first request.
        redis.ConnectionPool.from_url(url).make_connection()
    except (TypeError, ValueError):
        return "An option after the question mark is invalid."
    return None


def _node_url(url: str, address: str) -> str:
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    scheme = parts.scheme.removesuffix(_CLUSTER)
    return parts._replace(scheme=scheme, netloc=f"{user}{at}{address}").geturl()
