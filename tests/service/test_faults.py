"""Every fault of Redis costs at most one timeout per thread, and no response is stale."""

import pytest

from .faults import FAULTS, World
from .observation import observe

pytestmark = [pytest.mark.network, pytest.mark.server]
WORKERS, THREADS, TIMEOUT = 2, 4, 0.5


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.stop()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_costs_speed_only(serve, world, fault):
    environment = {
        **world.environment,
        "REDIS_SOCKET_TIMEOUT": str(TIMEOUT),
        "THROTTLE_BLOG_LIMIT": "1000000/hour",
        "WEB_CONCURRENCY": str(WORKERS),
        "WEB_THREADS": str(THREADS),
    }
    with serve(**environment) as service:
        header = serve.sign_in(service)
        observed = observe(service, world, fault, TIMEOUT, **header)

    assert set(observed.statuses) == {200}
    assert observed.stalled <= WORKERS * THREADS
    assert observed.slowest < 4 * TIMEOUT
    # Redis needs time to load its data. After other faults, one probe closes the circuit.
    assert observed.recovered < (20 if fault.__name__ == "loading" else 5)
    assert observed.titles == {"During"}
