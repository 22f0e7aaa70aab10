"""Nothing is served that a restarted Redis has restored."""

import pytest
from cacheops.redis import redis_client

from service_runtime.caching import cacheops, keys
from tests.fast_path.responses import is_fast


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("headers", [{}, {"Cookie": "csrftoken=x"}], ids=["fast", "prefetched"])
def test_restart_of_redis_that_only_the_throttles_notice(
    client, operator, settings, set_rates, monkeypatch, headers
):
    """Its snapshot contains the response and its stamps, which have changed since."""
    settings.ROOT_URLCONF = "tests.fast_path.views"
    set_rates(groups="100/hour", anon="100/hour", set="off")
    for _ in range(2):
        client.get("/api/groups/")
    monkeypatch.setattr(keys, "run_id_of", lambda client: "another")
    monkeypatch.setattr(cacheops, "run_id_of", lambda client: "another")
    known = keys.Server.run_id
    try:
        operator.client_kill_filter(_type="normal", skipme=True)
        response = client.get("/api/groups/", headers=headers)
        assert response.headers["Cache-Status"].endswith("fwd=miss")
        client.cookies.clear()
        client.get("/api/groups/")
        assert is_fast(client.get("/api/groups/"))
        assert not redis_client.breaker.is_open
    finally:
        keys.Server.run_id = known
