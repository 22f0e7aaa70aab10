"""The web chart's settings and secrets."""

import json

import kubernetes_validate
import pytest
import yaml

from tests.charts.conftest import CHARTS
from tests.charts.objects import WITHOUT_SCHEMA, decoded, one, pods, server, settings


def test_throttles_become_variables(render):
    data = settings(render("web", "production"))
    assert {key: data[key] for key in data if key.startswith("THROTTLE_")} == {
        "THROTTLE_BLOG_LIMIT": "100/hour",
        "THROTTLE_AUTHOR_LIMIT": "10/s;1000/h",
        "THROTTLE_ANON": "off",
    }


@pytest.mark.parametrize(
    "rate", ["block", "block;shadow", "5/2hrs", "100 per hour", "10 per s;100 per 10 minutes"]
)
def test_every_rate_of_the_service_is_accepted(template, rate):
    assert template("web", "production", throttles={"export": rate}).returncode == 0


def test_only_changed_settings_trigger_a_rollout(render):
    def annotations(**values):
        deployment = one(render("web", "production", **values), "Deployment")
        return deployment["spec"]["template"]["metadata"]["annotations"]

    assert annotations(throttles={"blog_limit": "7/hour"}) != annotations()
    assert annotations(service={"port": 8080}) == annotations()


@pytest.mark.parametrize(
    ("value", "rendered"),
    [(31536000, "31536000"), (0.25, "0.25"), ("007", "007"), (True, "true"), ("a: 'b'", "a: 'b'")],
)
def test_a_setting_is_rendered_verbatim(render, value, rendered):
    objects = render("web", "production", env={"SETTING": value})
    assert settings(objects)["SETTING"] == rendered
    (container,) = one(objects, "Job")["spec"]["template"]["spec"]["containers"]
    assert {"name": "SETTING", "value": rendered} in container["env"]


def test_the_migration_expands_no_variable_references(render):
    objects = render("web", "production", env={"SETTING": "$(HOME)"})
    assert settings(objects)["SETTING"] == "$(HOME)"
    (container,) = one(objects, "Job")["spec"]["template"]["spec"]["containers"]
    assert {"name": "SETTING", "value": "$$(HOME)"} in container["env"]


def test_an_unquoted_off_is_off(render):
    env = {"THROTTLE_BLOG_LIMIT": False, "THROTTLING_HEADERS": False, "OTHER": False}
    data = settings(render("web", "production", env=env))
    assert [data[name] for name in env] == ["off", "off", "false"]


@pytest.mark.parametrize(("chart", "name"), [("web", "production"), ("redis", "tls")])
def test_numeric_names_are_quoted(helm, values_file, chart, name):
    options = ("--kube-version", "1.34.0", "--namespace", "123")
    result = helm("template", "42", CHARTS / chart, "-f", values_file(chart, name), *options)
    assert result.returncode == 0, result.stderr
    for item in yaml.safe_load_all(result.stdout):
        if item and item["kind"] not in WITHOUT_SCHEMA:
            kubernetes_validate.validate(item, "1.34.0", strict=True)


def test_env_overrides_the_settings_of_the_chart(render):
    assert settings(render("web", "production", env={"WEB_THREADS": 8}))["WEB_THREADS"] == "8"


@pytest.mark.parametrize(
    ("name", "host"), [("production", ".blog.example.com"), ("managed-redis", "api.example.com")]
)
def test_the_hosts_of_ingress_and_route_are_allowed(render, name, host):
    objects = render("web", name)
    hosts = settings(objects)["ALLOWED_HOSTS"].split(",")
    assert host in hosts
    assert one(objects, "Service")["metadata"]["name"] in hosts
    assert not any("*" in host for host in hosts)


def test_forwarded_addresses_are_trusted_behind_a_proxy_only(render):
    assert settings(render("web", "production"))["NUM_PROXIES"] == "1"
    assert settings(render("web", "managed-redis"))["NUM_PROXIES"] == "1"
    assert settings(render("web", "production", numProxies=2))["NUM_PROXIES"] == "2"
    assert settings(render("web", "single"))["NUM_PROXIES"] == "0"


def test_an_existing_secret_is_referenced(render):
    objects = render("web", "production")
    assert not any(kind == "Secret" for kind, _ in objects)
    for key, pod in pods(objects).items():
        if key[0] != "Pod":
            assert {"secretRef": {"name": "acme-blog"}} in pod["containers"][0]["envFrom"], key


def test_secret_values_are_only_in_secrets(render):
    objects = render("web", "single")
    secrets = [item for (kind, _), item in objects.items() if kind == "Secret"]
    rest = [item for (kind, _), item in objects.items() if kind != "Secret"]
    for secret in secrets:
        for value in decoded(secret).values():
            assert value not in json.dumps(rest)
    assert decoded(secrets[0])["DATABASE_URL"] == "postgres://blog:blog@postgres/blog"


@pytest.mark.parametrize("name", ["production", "managed-redis", "single"])
def test_the_migration_uses_no_object_of_its_own_release(render, name):
    objects = render("web", name)
    job = one(objects, "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    weight = int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    *command, retry = container["command"]
    assert command == ["python", "manage.py", "migrate", "--noinput", "--verbosity=0"]
    assert retry == "--retry-seconds=240"
    assert job["spec"]["activeDeadlineSeconds"] == 300
    release = {key: item for key, item in objects.items() if key[0] in {"ConfigMap", "Secret"}}
    for source in container["envFrom"]:
        assert "configMapRef" not in source
        copy = release.get(("Secret", source["secretRef"]["name"]))
        if copy:
            assert int(copy["metadata"]["annotations"]["helm.sh/hook-weight"]) < weight
    assert ("ServiceAccount", pod.get("serviceAccountName")) not in objects
    inlined = {item["name"]: item["value"] for item in container["env"] if "value" in item}
    assert inlined == settings(objects)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("production", {"name": "redis", "key": "url"}),
        ("managed-redis", {"name": "managed-redis", "key": "REDIS_URL"}),
    ],
)
def test_the_redis_url_comes_from_a_secret(render, name, reference):
    _, container = server(render("web", name))
    assert container["env"] == [
        {"name": "REDIS_URL", "valueFrom": {"secretKeyRef": reference}},
    ]


def test_the_database_url_can_come_from_another_secret(render):
    values = {"existingSecret": "", "secrets": {"SECRET_KEY": "k" * 50}}
    objects = render("web", "production", **values, database={"existingSecret": "blog-app"})
    assert decoded(objects["Secret", "release-web"]).keys() == {"SECRET_KEY"}
    for pod in (server(objects)[0], one(objects, "Job")["spec"]["template"]["spec"]):
        reference = {"secretKeyRef": {"name": "blog-app", "key": "uri"}}
        assert {"name": "DATABASE_URL", "valueFrom": reference} in pod["containers"][0]["env"]


def test_a_setting_can_have_its_value_from_elsewhere(render):
    field = {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    key = {"valueFrom": {"secretKeyRef": {"name": "owner", "key": "uri"}}}
    env = {"POD_IP": field, "MIGRATE_DATABASE_URL": key, "LOG_LEVEL": key, "SETTING": "plain"}
    objects = render("web", "production", env=env)
    data = settings(objects)
    assert data["SETTING"] == "plain"
    assert not {"POD_IP", "MIGRATE_DATABASE_URL", "LOG_LEVEL"} & data.keys()
    for kind in ("Deployment", "Job"):
        (container,) = one(objects, kind)["spec"]["template"]["spec"]["containers"]
        found = {item.pop("name"): item for item in container["env"]}
        assert found.items() >= {"POD_IP": field, "MIGRATE_DATABASE_URL": key}.items(), kind
        assert found["LOG_LEVEL"] == key, kind
        assert "value" not in found["POD_IP"]


def test_the_ca_of_a_managed_redis_is_mounted(render):
    objects = render("web", "managed-redis")
    pod, container = server(objects)
    (mount,) = (item for item in container["volumeMounts"] if item["name"] == "redis-ca")
    (volume,) = (item for item in pod["volumes"] if item["name"] == "redis-ca")
    assert settings(objects)["REDIS_CA_CERT"] == f"{mount['mountPath']}/ca.crt"
    assert volume["secret"]["secretName"] == "managed-redis-ca"


def test_without_redis_one_pod_is_enough(render):
    objects = render("web", "single")
    assert one(objects, "Deployment")["spec"]["replicas"] == 1
    assert "env" not in server(objects)[1]


def test_several_pods_without_redis_can_be_allowed(render):
    render("web", "production", redis={"existingSecret": "", "acceptNone": True})


def test_only_listed_peers_can_scrape_metrics(render):
    rules = one(render("web", "managed-redis"), "NetworkPolicy")["spec"]["ingress"]
    by_port = {rule["ports"][0]["port"]: rule for rule in rules}
    assert "from" not in by_port["http"]
    assert by_port["ops"]["from"][0]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "monitoring"
    }
