"""A client that can write to Redis cannot execute code in a pod or fail a request."""

import pickle
from pathlib import Path

import pytest
import redis

from .test_rights import PASSWORD, Browser, Writer

pytestmark = [pytest.mark.network, pytest.mark.server]
PATHS = ["/api/blogs/", "/api/blogs/1/", "/api/authors/", "/admin/"]


class Exploit:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


def test_every_value_replaced_by_a_pickle_is_a_miss(serve, project, redis_server, tmp_path):
    exploited = tmp_path / "exploited"
    payload = pickle.dumps(Exploit(exploited), protocol=0)
    with (
        serve(REDIS_URL=redis_server.url, DEBUG="true") as service,
        Writer(project, serve.environment) as writer,
        redis.Redis.from_url(redis_server.url) as server,
    ):
        writer.write("grace.is_superuser = True; grace.save()")
        browser = Browser(service, "grace")
        token = service.request(
            "/api/token/", "POST", {"username": "grace", "password": PASSWORD}
        ).json()["token"]
        headers = {"Authorization": f"Token {token}"}

        def responses():
            found = {path: service.get(path, **headers) for path in PATHS if path != "/admin/"}
            return {**found, "/admin/": browser.get("/admin/")}

        responses()
        before = responses()
        # Cached values only, not cacheops' indexes and throttle counters.
        keys = [
            key
            for key in server.scan_iter("*")
            if server.type(key) == b"string" and b":conj:" not in key and b":throttling:" not in key
        ]
        assert len(keys) >= 5
        for key in keys:
            stored = server.get(key)
            server.set(
                key, stored.partition(b":")[0] + b":" + payload if b":" in stored else payload
            )

        after = responses()
        again = responses()

    assert not exploited.exists()
    for path in PATHS:
        assert before[path].status == after[path].status == again[path].status == 200
        if path != "/admin/":
            assert before[path].body == after[path].body
            assert "; hit" in before[path].headers["Cache-Status"]
            assert after[path].headers["Cache-Status"].endswith("; fwd=miss")
            assert "; hit" in again[path].headers["Cache-Status"]
