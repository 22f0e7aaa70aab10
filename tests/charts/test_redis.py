"""The redis chart: its configuration, Secret, Services and NetworkPolicy."""

import json
from urllib.parse import unquote, urlsplit

import pytest

from tests.charts.objects import decoded, one


def redis_conf(objects):
    """Return the directives of redis.conf."""
    lines = one(objects, "ConfigMap")["data"]["redis.conf"].splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def test_the_secret_has_the_connection_settings(render):
    secret = decoded(render("redis", "persistent")["Secret", "release-redis"])
    assert set(secret) == {"host", "port", "username", "password", "url"}
    url = urlsplit(secret["url"])
    assert (url.hostname, str(url.port)) == (secret["host"], secret["port"])
    assert (unquote(url.username), unquote(url.password)) == (
        secret["username"],
        secret["password"],
    )
    assert secret["password"] == "p@ss word/+:%"


def test_a_generated_password_is_random_and_survives_uninstalling(render):
    first, second = (one(render("redis", "default"), "Secret") for _ in range(2))
    assert decoded(first)["password"] != decoded(second)["password"]
    assert len(decoded(first)["password"]) == 32
    assert first["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_password_is_only_in_the_secret(render):
    objects = render("redis", "persistent")
    rest = [item for (kind, _), item in objects.items() if kind != "Secret"]
    assert "p@ss word" not in json.dumps(rest)


def test_an_existing_secret_replaces_the_charts_own(render):
    objects = render("redis", "existing-secret", auth={"password": "ignored"})
    assert not any(kind == "Secret" for kind, _ in objects)
    volumes = one(objects, "StatefulSet")["spec"]["template"]["spec"]["volumes"]
    (sources,) = (volume["projected"]["sources"] for volume in volumes if "projected" in volume)
    assert {source["secret"]["name"] for source in sources} == {"redis-auth"}


@pytest.mark.parametrize(
    ("limit", "maxmemory"),
    [("256Mi", 201326592), ("1.5Gi", 1207959552), ("500M", 375000000), (1000000, 750000)],
)
def test_maxmemory_leaves_a_quarter_of_the_limit(render, limit, maxmemory):
    objects = render("redis", "default", resources={"limits": {"memory": limit}})
    assert redis_conf(objects)["maxmemory"] == str(maxmemory)


def test_only_keys_with_a_ttl_are_evicted_and_nothing_is_written_to_disk(render):
    directives = redis_conf(render("redis", "default"))
    assert directives["maxmemory-policy"] == "volatile-lru"
    assert (directives["save"], directives["appendonly"]) == ('""', "no")


def test_persistence_can_be_enabled(render):
    objects = render("redis", "persistent")
    assert redis_conf(objects)["appendonly"] == "yes"
    (claim,) = one(objects, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"


def test_the_default_user_is_off_and_the_services_user_is_no_administrator(render):
    default, service = one(render("redis", "default"), "ConfigMap")["data"][
        "users.acl"
    ].splitlines()
    assert default == "user default off"
    # tests/service/test_redis_rights.py tests the rules on a server.
    name, *rules = service.removeprefix("user ").split()
    assert (name, rules[:4]) == ("service", ["on", "@HASHES@", "~acme-blog:*", "-@all"])
    assert not [rule for rule in rules[4:] if not rule.startswith("+") or "@" in rule]


def test_the_documented_permissions_for_a_managed_redis_match_the_chart(render, deploy_values):
    *_, service = one(render("redis", "default"), "ConfigMap")["data"]["users.acl"].splitlines()
    documented = (deploy_values.parent / "docs" / "deploying.md").read_text()
    assert service.partition("@HASHES@ ")[2] in " ".join(documented.split())


def test_extra_rules_of_the_services_user_come_last(render):
    objects = render("redis", "default", auth={"extraRules": "+hget ~shared:*"})
    *_, service = one(objects, "ConfigMap")["data"]["users.acl"].splitlines()
    assert service.endswith(" +hget ~shared:*")


def test_a_changed_redis_conf_restarts_redis_and_a_new_password_does_not(render):
    def annotations(**values):
        stateful_set = one(render("redis", "default", **values), "StatefulSet")
        return stateful_set["spec"]["template"]["metadata"]["annotations"]

    assert annotations(extraConfig="timeout 60") != annotations()
    assert annotations() == annotations()


def test_only_tls_connections_are_accepted(render):
    objects = render("redis", "tls")
    directives = redis_conf(objects)
    assert (directives["port"], directives["tls-port"]) == ("0", "6379")
    secret = decoded(objects["Secret", "release-redis"])
    assert secret["url"].startswith("rediss://")
    mounts = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0][
        "volumeMounts"
    ]
    paths = [mount["mountPath"] for mount in mounts]
    for directive in ("tls-cert-file", "tls-key-file", "tls-ca-cert-file"):
        assert directives[directive].rpartition("/")[0] in paths


def test_the_exporter_has_a_separate_user(render):
    objects = render("redis", "tls")
    _, exporter = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert "--redis.user=exporter" in exporter["args"]
    assert "env" not in exporter
    endpoint = one(objects, "ServiceMonitor")["spec"]["endpoints"][0]
    headless = objects["Service", "release-redis-headless"]["spec"]
    assert endpoint["port"] in {port["name"] for port in headless["ports"]}


def test_the_redis_service_has_a_stable_address_and_the_headless_one_names_pods(render):
    objects = render("redis", "default")
    assert "clusterIP" not in objects["Service", "release-redis"]["spec"]
    name = one(objects, "StatefulSet")["spec"]["serviceName"]
    assert objects["Service", name]["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize(("name", "peers"), [("default", 1), ("tls", 2)])
def test_only_listed_peers_can_connect_to_redis(render, name, peers):
    objects = render("redis", name)
    policy = one(objects, "NetworkPolicy")["spec"]
    (rule,) = policy["ingress"]
    assert len(rule["from"]) == peers
    labels = one(objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
