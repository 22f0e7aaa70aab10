"""Alternatives to production.yaml: Valkey, TLS, a volume, a managed Redis, and no Redis."""

from urllib.parse import quote

import pytest
import trustme

from ..running import wait_for
from . import manifests
from .test_redis import CLIENT, assert_limit_holds
from .web import AUTHOR_LIMIT, RELEASE_NAME

pytestmark = pytest.mark.cluster
POD, PASSWORD = "valkey-redis-0", "p@ssword/+:%"
KEY = f"{RELEASE_NAME}:persistent"


def certificates(name, authority, *hosts):
    """Return a Secret in cert-manager's format."""
    certificate = authority.issue_cert(*hosts)
    files = {
        "tls.crt": b"".join(blob.bytes() for blob in certificate.cert_chain_pems),
        "tls.key": certificate.private_key_pem.bytes(),
        "ca.crt": authority.cert_pem.bytes(),
    }
    return manifests.secret(name, **{name: text.decode() for name, text in files.items()})


@pytest.fixture(scope="module")
def valkey(cluster, charts, redis_values):
    """Install Valkey with TLS and a volume; put its URL into a Secret, as for a managed Redis."""
    authority = trustme.CA()
    host = f"valkey-redis.{cluster.namespace}.svc"
    url = f"rediss://service:{quote(PASSWORD, safe='')}@{host}:6379/0"
    cluster.apply(
        certificates("valkey-tls", authority, host, "localhost"),
        certificates("other-tls", trustme.CA(), host),
        manifests.secret("managed-redis", REDIS_URL=url),
    )
    values = {
        "image.repository": "valkey/valkey",
        "image.tag": "8",
        "auth.password": PASSWORD,
        "tls.existingSecret": "valkey-tls",
    }
    options = [f"--set-string={name}={value}" for name, value in values.items()]
    options += ["--set=persistence.enabled=true", "--set=persistence.size=1Gi"]
    options += ["--values", redis_values]
    cluster.helm("install", "valkey", charts / "redis", "--wait", *options)
    yield cluster
    cluster.helm("uninstall", "valkey", "--wait")


def managed(authority):
    """Return the web chart's `redis` values for Valkey, with the Secret of a CA."""
    return {
        "existingSecret": "managed-redis",
        "urlKey": "REDIS_URL",
        "caSecret": {"name": authority},
    }


def command(cluster, *words, tls="--tls --cacert /run/secrets/tls/ca.crt"):
    """Run a Valkey command as the service's user and return the reply."""
    line = f"REDISCLI_AUTH='{PASSWORD}' {CLIENT} {tls} {' '.join(words)} 2>&1"
    return cluster.kubectl("exec", POD, "--", "sh", "-c", line, check=False)


def test_valkey_accepts_only_tls_and_persists_data(valkey):
    assert "Succeeded" in valkey.helm("test", "valkey", "--logs").stdout
    assert "PONG" in command(valkey, "ping")
    assert "PONG" not in command(valkey, "ping", tls="")

    assert "OK" in command(valkey, "set", KEY, "yes", "ex", "3600")
    before = valkey.wait_ready(POD).metadata.uid
    # The append-only file is synced once per second, and when the pod terminates.
    valkey.kubectl("delete", "pod", POD)
    assert valkey.wait_ready(POD).metadata.uid != before
    assert "yes" in command(valkey, "get", KEY)


def test_a_managed_redis_is_used_over_tls(valkey, web):
    web.upgrade(redis=managed("valkey-tls"))
    web.settle()
    web.wait_for_redis()
    assert "Succeeded" in valkey.helm("test", RELEASE_NAME, "--logs").stdout
    assert_limit_holds(web)
    assert f"{RELEASE_NAME}:throttling:" in command(valkey, "--scan")


def test_a_redis_certificate_from_another_ca_is_rejected(valkey, web):
    web.upgrade(redis=managed("other-tls"))
    web.settle()

    def rejected():
        assert web.responds()
        return all(web.totals("redis_circuit_open").values())

    wait_for(rejected, "each pod to run without Redis")


def test_without_redis_each_pod_counts_separately(web):
    metric = "throttle_requests_total", 'scope="author_limit"', 'outcome="allowed"'
    web.upgrade(redis={"existingSecret": "", "acceptNone": True})
    web.settle()
    results = web.admitted(10 * AUTHOR_LIMIT)
    assert results.outcomes == {"200": 2 * AUTHOR_LIMIT, "429": 8 * AUTHOR_LIMIT}
    assert set(web.totals(*metric).values()) == {AUTHOR_LIMIT}
