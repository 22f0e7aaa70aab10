"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest
from hypothesis import settings as hypothesis_settings
from pytest_django import Settings

from service_runtime.local_redis import find_server
from service_runtime.redis import Cluster, cluster_of
from tests.clusters import LocalCluster, local_cluster
from tests.waiting import wait_for

pytest_plugins = ["service_runtime.testing"]

# Without a folder of examples next to the sources.
hypothesis_settings.register_profile("runtime", database=None)
hypothesis_settings.load_profile("runtime")


@pytest.fixture(scope="session")
def _local_cluster() -> Iterator[LocalCluster]:
    program = find_server()
    if not program:
        pytest.skip("needs a redis-server")
    with local_cluster(program) as created:
        yield created


@pytest.fixture
def shards(_local_cluster: LocalCluster, settings: Settings) -> LocalCluster:
    """Return a healthy Redis Cluster of three masters and three replicas."""
    settings.REDIS_SOCKET_TIMEOUT = 0.5
    _local_cluster.heal()
    return _local_cluster


@pytest.fixture
def cluster(shards: LocalCluster) -> Iterator[Cluster]:
    """Return this process's client for that cluster."""
    cluster_of.cache_clear()
    cluster = cluster_of(shards.url)
    yield cluster
    shards.heal()
    # The thread ends when no circuit is open.
    wait_for(lambda: cluster._thread is None)
