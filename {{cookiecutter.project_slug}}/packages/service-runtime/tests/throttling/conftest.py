import pytest

from service_runtime.throttling import decisions


@pytest.fixture
def calls(monkeypatch):
    """Return the list of the calls that reach the limiter, with their costs and scopes."""
    made = []

    class Spy:
        def __init__(self, limiter):
            self._limiter = limiter

        def take(self, limits, cost=1):
            made.append((cost, sorted(limit.key.rsplit(":", 2)[1] for limit in limits)))
            return self._limiter.take(limits, cost)

    limiter = Spy(decisions.limiter())
    monkeypatch.setattr(decisions, "limiter", lambda: limiter)
    return made
