"""Observe a service under load during a fault of Redis."""

import collections
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..running import Service, wait_for
from .faults import World
from .load import Load


@dataclass(frozen=True)
class Observation:
    """The effects of a fault.

    Attributes:
        statuses: number of responses by status.
        slowest: the longest response time in seconds.
        stalled: requests that took nearly a socket timeout or longer in the service, without the
            time in its queue.
        recovered: seconds from the end of the fault until all responses are cache hits.
        titles: the titles that were read after a change during the fault.
    """

    statuses: dict[int, int]
    slowest: float
    stalled: int
    recovered: float
    titles: set[str]


def observe(
    service: Service,
    world: World,
    fault: Callable[[World], contextlib.AbstractContextManager[None]],
    timeout: float,
    **header: str,
) -> Observation:
    """Inject a fault into a service under load, and change a blog during the fault."""

    def change(title: str) -> None:
        response = service.request("/api/blogs/1/", "PATCH", {"title": title}, **header)
        assert response.status == 200, response

    def read() -> tuple[str, bool]:
        response = service.get("/api/blogs/1/")
        return response.json()["title"], "; hit" in response.headers["Cache-Status"]

    titles: set[str] = set()

    def is_hit() -> bool:
        title, hit = read()
        titles.add(title)
        return hit

    change("Before")
    wait_for(lambda: read() == ("Before", True), "a hit")
    earlier = len(service.lines())  # including the slow sign-in
    with Load(service, "/api/blogs/") as load:
        load.more(50)
        load.responses.clear()
        with fault(world):
            load.more(20)
            change("During")
            for _ in range(20):
                is_hit()
            load.more(100)
        ended = time.monotonic()
        wait_for(is_hit, "a hit after the fault")
        recovered = time.monotonic() - ended
        # Each worker recovers separately, so one hit is not enough.
        while not all(is_hit() for _ in range(20)):
            recovered = time.monotonic() - ended
            assert recovered < 60
        load.more(50)
    durations = [response.duration for response in load.responses]
    return Observation(
        dict(collections.Counter(response.status for response in load.responses)),
        max(durations),
        sum(line.get("duration_ms", 0) > timeout * 900 for line in service.lines()[earlier:]),
        recovered,
        titles,
    )
