import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from service_runtime.single_flight import SingleFlight
from tests.waiting import wait_for


def test_late_run_times_out_and_is_not_started_twice():
    finished, calls = threading.Event(), []

    def slow():
        calls.append(1)
        return "ok" if finished.wait(20) else "never"

    flight = SingleFlight(slow, "tests-flight")
    for timeout in (0.01, 20):  # the second call shares the deadline of the first
        with pytest.raises(TimeoutError):
            flight.run(timeout)
    assert calls == [1]

    finished.set()
    for thread in threading.enumerate():
        if thread.name == "tests-flight":
            assert thread.daemon
            thread.join()
    assert flight.run(20) == "ok"
    assert calls == [1, 1]


def test_concurrent_calls_share_a_run():
    finished, calls = threading.Event(), []

    def slow():
        calls.append(1)
        finished.wait(20)
        return "ok"

    flight = SingleFlight(slow, "tests-flight")
    with ThreadPoolExecutor(12) as pool:
        results = [pool.submit(flight.run, 20) for _ in range(12)]
        wait_for(lambda: all(result.running() for result in results))
        finished.set()

    assert {result.result() for result in results} == {"ok"}
    assert len(calls) <= 12


def test_exception_reaches_the_caller_and_ends_the_run():
    flight = SingleFlight(lambda: 1 // 0, "tests-flight")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            flight.run(20)
