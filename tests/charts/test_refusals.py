"""Values that cannot work are refused by name, before anything reaches a cluster."""

import json

import pytest

from tests.charts.conftest import CHARTS


def levels(schema, definitions, path=()):
    """Yield the path of every object that has fixed keys."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "object" and schema.get("additionalProperties") is False:
        if "patternProperties" not in schema:
            yield path
        for name, inner in schema.get("properties", {}).items():
            yield from levels(inner, definitions, (*path, name))


def every_level():
    """Return chart and path of every object that has fixed keys."""
    found = []
    for chart in ("web", "redis"):
        schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
        found += [(chart, path) for path in levels(schema, schema["definitions"])]
    return found


@pytest.mark.parametrize(
    ("chart", "path"), every_level(), ids=[f"{c}:{'.'.join(p)}" for c, p in every_level()]
)
def test_a_typo_is_refused_at_every_level(template, chart, path):
    values = {"misspelt": 1}
    for name in reversed(path):
        values = {name: values}
    result = template(chart, {"web": "production", "redis": "default"}[chart], **values)
    assert result.returncode != 0
    assert "misspelt" in result.stderr
    assert all(name in result.stderr for name in path)


def test_there_are_levels():
    assert len(every_level()) > 30


@pytest.mark.parametrize(
    ("chart", "name", "typo"),
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
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(template, chart, name, typo):
    result = template(chart, name, **typo)
    assert result.returncode != 0
    assert next(iter(typo)) in result.stderr


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
            "secretFiles: leave REDIS_URL out",
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
def test_values_that_cannot_work_are_refused_by_name(template, name, values, named):
    result = template("web", name, **values)
    assert result.returncode != 0
    assert named in result.stderr.replace("/", ".")


@pytest.mark.parametrize(("limit", "named"), [(None, "limits.memory"), ("1Xi", "limits.memory")])
def test_a_memory_limit_that_maxmemory_cannot_follow_is_refused(template, limit, named):
    result = template("redis", "default", resources={"limits": {"memory": limit}})
    assert result.returncode != 0
    assert named in result.stderr.replace("/", ".")


def test_a_redis_without_a_key_prefix_is_refused_with_what_to_set(template):
    result = template("redis", "default", auth={"keyPrefix": ""})
    assert result.returncode != 0
    assert "auth.keyPrefix: set CACHE_KEY_PREFIX of the service" in result.stderr
    assert "deploy/redis.yaml" in result.stderr
