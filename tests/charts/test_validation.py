"""Invalid values are rejected with an error that names them, before Helm contacts a cluster."""

import json

import pytest

from tests.charts.conftest import CHARTS


def closed_objects(schema, definitions, path=()):
    """Yield the path of each object with a fixed set of keys."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "object" and schema.get("additionalProperties") is False:
        if "patternProperties" not in schema:
            yield path
        for name, inner in schema.get("properties", {}).items():
            yield from closed_objects(inner, definitions, (*path, name))


def all_closed_objects():
    """Return the chart and path of each object with a fixed set of keys."""
    found = []
    for chart in ("web", "redis"):
        schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
        found += [(chart, path) for path in closed_objects(schema, schema["definitions"])]
    return found


@pytest.mark.parametrize(
    ("chart", "path"),
    all_closed_objects(),
    ids=[f"{c}:{'.'.join(p)}" for c, p in all_closed_objects()],
)
def test_a_misspelled_key_is_rejected_at_every_level(template, chart, path):
    values: dict[str, object] = {"misspelled": 1}
    for name in reversed(path):
        values = {name: values}
    result = template(chart, {"web": "production", "redis": "default"}[chart], **values)
    assert result.returncode != 0
    assert "misspelled" in result.stderr
    assert all(name in result.stderr for name in path)


def test_most_objects_reject_unknown_keys():
    assert len(all_closed_objects()) > 30


@pytest.mark.parametrize(
    ("chart", "name", "invalid"),
    [
        ("web", "production", {"throttles": {"blog_limit": "100/fortnight"}}),
        ("web", "production", {"throttles": {"blog_limit": "100/ms"}}),
        ("web", "production", {"throttles": {"blog-limit": "100/hour"}}),
        ("web", "production", {"env": {"lower": "case"}}),
        ("web", "production", {"service": {"port": 70000}}),
        ("web", "production", {"ingress": {"hosts": ["https://api.example.com"]}}),
        ("web", "production", {"csrfTrustedOrigins": ["api.example.com"]}),
        ("web", "production", {"migrations": {"hook": "flux"}}),
        ("web", "production", {"image": {"digest": "sha256:short"}}),
        ("web", "production", {"resources": {"limits": {"memory": "512 megabytes"}}}),
        ("redis", "default", {"persistence": {"size": "4 GB"}}),
        ("redis", "default", {"networkPolicy": {"from": []}}),
        ("redis", "default", {"networkPolicy": {"from": None}}),
        ("redis", "default", {"auth": {"username": "default"}}),
        ("redis", "default", {"auth": {"password": "with\nnewline"}}),
        ("redis", "default", {"auth": {"keyPrefix": "acme-*"}}),
        ("redis", "default", {"auth": {"keyPrefix": "a +@all"}}),
        ("redis", "default", {"auth": {"extraRules": "+hget\nuser root on nopass +@all"}}),
        ("redis", "default", {"auth": {"rules": "+@all"}}),
        ("redis", "default", {"tls": None}),
        ("web", "production", {"server": {"workers": None}}),
        ("web", "production", {"logLevel": None}),
        ("web", "production", {"probes": {"liveness": None}}),
        ("web", "production", {"fullnameOverride": "1.app"}),
        ("redis", "default", {"persistence": "on"}),
        ("web", "production", {"env": {"POD_IP": {"value": "1"}}}),
        ("web", "production", {"ingress": {"paths": [{"path": "api", "pathType": "Prefix"}]}}),
        ("web", "production", {"commonLabels": {"team": "a team"}}),
        ("web", "production", {"service": {"loadBalancerSourceRanges": ["203.0.113.7"]}}),
    ],
)
def test_an_invalid_value_is_rejected(template, chart, name, invalid):
    result = template(chart, name, **invalid)
    assert result.returncode != 0
    assert next(iter(invalid)) in result.stderr


@pytest.mark.parametrize(
    ("name", "values", "named"),
    [
        ("production", {"image": {"repository": ""}}, "image.repository"),
        ("production", {"image": {"repository": "example.com/blog:1"}}, "image.repository"),
        ("production", {"allowedHosts": ["a.example.com", "*.*"]}, "allowedHosts"),
        (
            "production",
            {"server": {"preStopSeconds": 40}, "terminationGracePeriodSeconds": 60},
            "terminationGracePeriodSeconds",
        ),
        (
            "production",
            {"podDisruptionBudget": {"maxUnavailable": 3}},
            "podDisruptionBudget.maxUnavailable",
        ),
        ("production", {"secretFiles": ["SECRET_KEY"]}, "secretFiles"),
        (
            "production",
            {"secretFiles": ["SECRET_KEY", "DATABASE_URL", "REDIS_URL"]},
            "secretFiles: REDIS_URL is mounted",
        ),
        (
            "single",
            {"secretFiles": ["SECRET_KEY", "DATABASE_URL", "SENTRY_DSN"]},
            "secretFiles: SENTRY_DSN",
        ),
        ("production", {"env": {"ALLOWED_HOSTS": "a, *"}}, "env.ALLOWED_HOSTS"),
        ("production", {"throttles": {"blog_limit": "0/hour"}}, "throttles.blog_limit"),
        ("production", {"env": {"DEBUG": "true"}}, "env.DEBUG"),
        ("production", {"env": {"THROTTLE_BLOG_LIMIT": "7 per ms"}}, "env.THROTTLE_BLOG_LIMIT"),
        ("production", {"env": {"SECRET_KEY": "in-a-config-map"}}, "env.SECRET_KEY"),
        ("production", {"env": {"PORT": 80}}, "env.PORT"),
        ("production", {"commonLabels": {"app.kubernetes.io/name": "a"}}, "commonLabels"),
        ("production", {"podLabels": {"app.kubernetes.io/component": "a"}}, "podLabels"),
        ("production", {"service": {"nodePort": 30080}}, "service.nodePort"),
        (
            "production",
            {"service": {"type": "NodePort", "loadBalancerSourceRanges": ["10.0.0.0/8"]}},
            "service.loadBalancerSourceRanges",
        ),
        ("production", {"service": {"loadBalancerClass": "a"}}, "service.loadBalancerClass"),
        (
            "production",
            {"service": {"externalTrafficPolicy": "Local"}},
            "service.externalTrafficPolicy",
        ),
        ("strict", {"database": {"existingSecret": "app"}}, "secretFiles: DATABASE_URL"),
        (
            "single",
            {"database": {"existingSecret": "app"}, "secrets": {"SECRET_KEY": None}},
            "secrets.SECRET_KEY",
        ),
        ("production", {"existingSecret": ""}, "existingSecret"),
        ("production", {"secrets": {"SENTRY_DSN": "x"}}, "existingSecret and secrets"),
        ("single", {"secrets": {"DATABASE_URL": None}}, "secrets.DATABASE_URL"),
        ("single", {"secrets": {"SECRET_KEY": "short"}}, "SECRET_KEY"),
        ("production", {"redis": {"existingSecret": ""}}, "redis.existingSecret"),
        ("single", {"replicaCount": 2}, "redis.existingSecret"),
        ("production", {"replicaCount": 2}, "replicaCount"),
        ("production", {"autoscaling": {"minReplicas": 20}}, "autoscaling.minReplicas"),
        ("production", {"allowedHosts": ["*"]}, "allowedHosts"),
        ("production", {"env": {"ALLOWED_HOSTS": "a,*"}}, "env.ALLOWED_HOSTS"),
        ("production", {"ingress": {"hosts": []}}, "ingress.hosts"),
        ("managed-redis", {"httpRoute": {"parentRefs": []}}, "httpRoute.parentRefs"),
        ("production", {"terminationGracePeriodSeconds": 44}, "terminationGracePeriodSeconds"),
        ("production", {"probes": {"liveness": {"timeoutSeconds": 1}}}, "timeoutSeconds"),
    ],
)
def test_an_invalid_combination_is_rejected_by_name(template, name, values, named):
    result = template("web", name, **values)
    assert result.returncode != 0
    assert named in result.stderr.replace("/", ".")


@pytest.mark.parametrize(("limit", "named"), [(None, "limits.memory"), ("1Xi", "limits.memory")])
def test_a_missing_or_unsupported_memory_limit_is_rejected(template, limit, named):
    result = template("redis", "default", resources={"limits": {"memory": limit}})
    assert result.returncode != 0
    assert named in result.stderr.replace("/", ".")


def test_a_missing_key_prefix_is_rejected_with_a_hint(template):
    result = template("redis", "default", auth={"keyPrefix": ""})
    assert result.returncode != 0
    assert "auth.keyPrefix: required; set it to the service's CACHE_KEY_PREFIX" in result.stderr
    assert "deploy/redis.yaml" in result.stderr
