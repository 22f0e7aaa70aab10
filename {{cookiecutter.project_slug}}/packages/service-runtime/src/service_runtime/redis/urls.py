"""URLs of servers and of Redis Clusters.

    redis+cluster://user:password@host:6379,host:6379

names some nodes of a cluster (rediss+cluster:// for TLS); the others are found through them.
"""

from urllib.parse import urlsplit

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


def _node_url(url: str, address: str) -> str:
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    scheme = parts.scheme.removesuffix(_CLUSTER)
    return parts._replace(scheme=scheme, netloc=f"{user}{at}{address}").geturl()
