import pytest

from service_runtime.throttling import decisions


@pytest.fixture
def calls(monkeypatch):
    """Return a list of the calls of the limiter, each with its cost and scopes."""
    recorded = []

    class Spy:
        def __init__(self, limiter):
            self._limiter = limiter

        def take(self, limits, cost=1):
            recorded.append((cost, sorted(limit.key.rsplit(":", 2)[1] for limit in limits)))
            return self._limiter.take(limits, cost)

    limiter = Spy(decisions.limiter())
    monkeypatch.setattr(decisions, "limiter", lambda: limiter)
    return recorded
