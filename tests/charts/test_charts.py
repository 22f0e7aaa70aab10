"""What the charts render: valid for every supported Kubernetes, with the effects they promise."""

import base64
import json
import subprocess
import tomllib
from urllib.parse import unquote, urlsplit

import kubernetes_validate
import pytest
import yaml

from tests.charts.conftest import CHARTS
from tests.charts.values_table import readme, table

CASES = [
    *(("web", name) for name in ("production", "managed-redis", "single", "argocd", "strict")),
    ("web", "staging"),
    *(("redis", name) for name in ("default", "existing-secret", "persistent", "strict", "tls")),
]
KUBERNETES = ["1.30.0", "1.37.0"]
EVERY_CASE = pytest.mark.parametrize(("chart", "name"), CASES)
# Their schemas do not come with Kubernetes.
WITHOUT_SCHEMA = {"HTTPRoute", "ServiceMonitor", "PrometheusRule", "ExternalSecret"}


def one(objects, kind):
    """Return the only object of a kind."""
    (found,) = (item for (its_kind, _), item in objects.items() if its_kind == kind)
    return found


def pods(objects):
    """Return the specification of every pod, by the kind and the name of what makes it."""
    return {
        key: item["spec"] if key[0] == "Pod" else item["spec"]["template"]["spec"]
        for key, item in objects.items()
        if key[0] in {"Deployment", "StatefulSet", "Job", "Pod"}
    }


def server(objects):
    """Return the specification of web's own pods, and their only container."""
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def settings(objects):
    """Return the settings that web's pods get from the ConfigMap."""
    return objects["ConfigMap", "release-web"]["data"]


def decoded(secret):
    """Return a Secret's values as text."""
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


# --- Both charts ------------------------------------------------------------------------------


def test_every_values_file_of_a_chart_is_tested():
    in_charts = {
        (path.parts[-3], path.name.removesuffix("-values.yaml"))
        for path in CHARTS.glob("*/ci/*.yaml")
    }
    assert in_charts == {case for case in CASES if case != ("web", "staging")}


@pytest.mark.parametrize("chart", ["web", "redis"])
def test_the_table_of_values_is_current(chart):
    written = (CHARTS / chart / "README.md").read_text()
    assert written == readme(CHARTS / chart), "run `make values`"
    for row in table(CHARTS / chart).splitlines()[2:]:
        name, _, sentence = (cell.strip() for cell in row.strip("|").split(" | "))
        assert sentence or "." in name, name


@pytest.mark.parametrize("chart", ["web", "redis"])
def test_values_and_templates_stay_small(chart):
    def lines(path):
        return len(path.read_text().splitlines())

    assert lines(CHARTS / chart / "values.yaml") < 300
    templates = [path for path in (CHARTS / chart / "templates").rglob("*") if path.is_file()]
    assert sum(map(lines, templates)) < 1000
    assert not any("{%" in path.read_text() for path in templates)


@pytest.mark.parametrize("chart", ["web", "redis"])
def test_lint_is_clean_with_the_default_values(helm, chart):
    result = helm("lint", "--strict", CHARTS / chart)
    assert result.returncode == 0, result.stdout


@EVERY_CASE
def test_lint_is_clean(helm, values_file, chart, name):
    values = values_file(chart, name)
    result = helm("lint", "--strict", CHARTS / chart, "--kube-version", "1.30.0", "-f", values)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("chart", "name"), [("web", "production"), ("web", "staging"), ("redis", "redis")]
)
def test_values_of_a_generated_service_render(helm, deploy_values, chart, name):
    values = deploy_values / f"{name}.yaml"
    for command in (["lint", "--strict"], ["template", "acme-blog"]):
        result = helm(*command, CHARTS / chart, "--kube-version", "1.30.0", "-f", values)
        assert result.returncode == 0, result.stderr + result.stdout


def test_the_user_of_redis_can_reach_the_keys_of_the_generated_service(deploy_values):
    values = yaml.safe_load((deploy_values / "redis.yaml").read_text())
    project = tomllib.loads((deploy_values.parent / "pyproject.toml").read_text())["project"]
    assert values["auth"]["keyPrefix"] == project["name"]  # the default of CACHE_KEY_PREFIX


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@EVERY_CASE
def test_objects_are_strictly_valid(render, chart, name, kubernetes):
    for (kind, _), item in render(chart, name, kubernetes=kubernetes).items():
        if kind not in WITHOUT_SCHEMA:
            kubernetes_validate.validate(item, kubernetes, strict=True)


@EVERY_CASE
def test_pods_meet_the_restricted_pod_security_standard(render, chart, name):
    for key, pod in pods(render(chart, name)).items():
        assert pod["securityContext"]["runAsNonRoot"] is True, key
        assert pod["securityContext"]["runAsUser"] == 10001, key
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, key
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, key
            assert context["capabilities"] == {"drop": ["ALL"]}, key
            assert context["readOnlyRootFilesystem"] is True, key
        assert not any("hostPath" in volume for volume in pod.get("volumes", [])), key


@EVERY_CASE
def test_pods_get_no_token_no_service_links_and_bounded_memory(render, chart, name):
    for key, pod in pods(render(chart, name)).items():
        assert pod["automountServiceAccountToken"] is False, key
        assert pod["enableServiceLinks"] is False, key
        for container in pod["containers"]:
            assert container["resources"]["requests"]["memory"], key
            assert container["resources"]["limits"]["memory"], key
            assert ("cpu" in container["resources"]["limits"]) == (
                name == "strict" and key[0] != "Pod"
            ), key


@EVERY_CASE
def test_probes_wait_at_least_five_seconds(render, chart, name):
    objects = render(chart, name)
    for key in [key for key in objects if key[0] in {"Deployment", "StatefulSet"}]:
        first, *others = pods(objects)[key]["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= first.keys()
        for container in [first, *others]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container.get(probe, {"timeoutSeconds": 5})["timeoutSeconds"] >= 5, probe


@EVERY_CASE
def test_a_service_selects_the_server_and_no_other_pod(render, chart, name):
    objects = render(chart, name)
    for service in (item for (kind, _), item in objects.items() if kind == "Service"):
        selector = service["spec"]["selector"].items()
        for key, item in objects.items():
            if key in pods(objects):
                labels = item if key[0] == "Pod" else item["spec"]["template"]
                selected = selector <= labels["metadata"]["labels"].items()
                assert selected == (key[0] in {"Deployment", "StatefulSet"}), key


@pytest.mark.parametrize(
    ("chart", "name"), [case for case in CASES if case != ("redis", "default")]
)
def test_two_renders_are_identical(template, chart, name):
    assert template(chart, name).stdout == template(chart, name).stdout


@pytest.mark.parametrize("chart", ["web", "redis"])
def test_the_schema_knows_the_same_keys_as_the_values(chart):
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
    values = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())

    def compare(schema, values, path):
        if "$ref" in schema:
            schema = schema["$ref"].removeprefix("#/definitions/")
            schema = definitions[schema]
        if isinstance(values, dict) and "patternProperties" not in schema:
            known = set(schema.get("properties", values)) - {"global"}
            # A probe may have more fields than the defaults set.
            assert set(values) == known or path.startswith("probes."), path
            for key, value in values.items():
                compare(schema.get("properties", {}).get(key, {}), value, f"{path}{key}.")

    definitions = schema["definitions"]
    compare(schema, values, "")


# --- web: pods --------------------------------------------------------------------------------


def test_probes_ask_the_ops_port(render):
    _, container = server(render("web", "production"))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8000, "ops": 8001}
    for probe, path in {
        "startupProbe": "/startupz",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }.items():
        assert container[probe]["httpGet"] == {"path": path, "port": "ops"}


@pytest.mark.parametrize("name", ["production", "managed-redis"])
def test_the_ops_port_is_not_exposed(render, name):
    objects = render("web", name)
    assert [port["targetPort"] for port in one(objects, "Service")["spec"]["ports"]] == ["http"]
    for kind in ("Ingress", "HTTPRoute"):
        exposed = [item for key, item in objects.items() if key[0] == kind]
        assert "ops" not in json.dumps(exposed)
        assert "8001" not in json.dumps(exposed)


def test_an_autoscaled_deployment_leaves_the_number_of_pods_to_the_autoscaler(render):
    objects = render("web", "production")
    assert "replicas" not in one(objects, "Deployment")["spec"]
    autoscaler = one(objects, "HorizontalPodAutoscaler")["spec"]
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (3, 12)
    (metric,) = autoscaler["metrics"]
    assert metric["containerResource"]["container"] == server(objects)[1]["name"]


def test_a_fixed_number_of_pods_needs_no_autoscaler(render):
    objects = render("web", "managed-redis")
    assert one(objects, "Deployment")["spec"]["replicas"] == 3
    assert not any(kind == "HorizontalPodAutoscaler" for kind, _ in objects)


def test_a_rolling_update_takes_no_pod_away_early(render):
    update = one(render("web", "production"), "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert update == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.parametrize("graceful", [5, 30, 300])
def test_the_grace_period_covers_the_pre_stop_sleep_and_the_drain(render, graceful):
    objects = render("web", "production", server={"gracefulTimeoutSeconds": graceful})
    pod, container = server(objects)
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert settings(objects)["GRACEFUL_TIMEOUT"] == str(graceful)
    assert pod["terminationGracePeriodSeconds"] > sleep + graceful


def test_tmp_is_writable(render):
    for pod in pods(render("web", "production", "--no-hooks")).values():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        paths = {
            mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]
        }
        assert "emptyDir" in volumes[paths["/tmp"]]


def test_pods_spread_over_nodes_and_zones(render):
    objects = render("web", "production")
    labels = one(objects, "Deployment")["spec"]["selector"]
    constraints = server(objects)[0]["topologySpreadConstraints"]
    keys = {constraint["topologyKey"] for constraint in constraints}
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    assert all(constraint["labelSelector"] == labels for constraint in constraints)


@pytest.mark.parametrize(("name", "has_one"), [("production", True), ("single", False)])
def test_a_disruption_budget_never_blocks_the_drain_of_a_single_pod(render, name, has_one):
    objects = render("web", name)
    assert any(kind == "PodDisruptionBudget" for kind, _ in objects) == has_one


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({"tag": "2.0"}, "registry.example.com/acme/blog:2.0"),
        ({"digest": "sha256:" + "a" * 64}, "registry.example.com/acme/blog@sha256:" + "a" * 64),
    ],
)
def test_every_pod_runs_the_same_image(render, image, reference):
    for pod in pods(render("web", "production", image=image)).values():
        assert pod["containers"][0]["image"] == reference


# --- web: settings and secrets ----------------------------------------------------------------


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
def test_rates_that_the_service_takes_are_taken(template, rate):
    assert template("web", "production", throttles={"export": rate}).returncode == 0


def test_a_change_of_settings_rolls_the_pods_and_nothing_else_does(render):
    def annotations(**values):
        deployment = one(render("web", "production", **values), "Deployment")
        return deployment["spec"]["template"]["metadata"]["annotations"]

    assert annotations(throttles={"blog_limit": "7/hour"}) != annotations()
    assert annotations(service={"port": 8080}) == annotations()


@pytest.mark.parametrize(
    ("value", "written"),
    [(31536000, "31536000"), (0.25, "0.25"), ("007", "007"), (True, "true"), ("a: 'b'", "a: 'b'")],
)
def test_a_setting_arrives_as_it_was_written(render, value, written):
    objects = render("web", "production", env={"SETTING": value})
    assert settings(objects)["SETTING"] == written
    (container,) = one(objects, "Job")["spec"]["template"]["spec"]["containers"]
    assert {"name": "SETTING", "value": written} in container["env"]


def test_no_variable_is_put_in_place_of_another_in_the_migration(render):
    objects = render("web", "production", env={"SETTING": "$(HOME)"})
    assert settings(objects)["SETTING"] == "$(HOME)"
    (container,) = one(objects, "Job")["spec"]["template"]["spec"]["containers"]
    assert {"name": "SETTING", "value": "$$(HOME)"} in container["env"]


def test_an_unquoted_off_is_off(render):
    env = {"THROTTLE_BLOG_LIMIT": False, "THROTTLING_HEADERS": False, "OTHER": False}
    data = settings(render("web", "production", env=env))
    assert [data[name] for name in env] == ["off", "off", "false"]


@pytest.mark.parametrize(("chart", "name"), [("web", "production"), ("redis", "tls")])
def test_names_that_are_numbers_are_text(helm, values_file, chart, name):
    options = ("--kube-version", "1.34.0", "--namespace", "123")
    result = helm("template", "42", CHARTS / chart, "-f", values_file(chart, name), *options)
    assert result.returncode == 0, result.stderr
    for item in yaml.safe_load_all(result.stdout):
        if item and item["kind"] not in WITHOUT_SCHEMA:
            kubernetes_validate.validate(item, "1.34.0", strict=True)


def test_env_wins_over_the_charts_own_settings(render):
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


def test_forwarded_addresses_are_believed_behind_a_proxy_only(render):
    assert settings(render("web", "production"))["NUM_PROXIES"] == "1"
    assert settings(render("web", "managed-redis"))["NUM_PROXIES"] == "1"
    assert settings(render("web", "production", numProxies=2))["NUM_PROXIES"] == "2"
    assert settings(render("web", "single"))["NUM_PROXIES"] == "0"


def test_an_existing_secret_is_referred_to(render):
    objects = render("web", "production")
    assert not any(kind == "Secret" for kind, _ in objects)
    for key, pod in pods(objects).items():
        if key[0] != "Pod":
            assert {"secretRef": {"name": "acme-blog"}} in pod["containers"][0]["envFrom"], key


def test_secret_values_are_in_secrets_alone(render):
    objects = render("web", "single")
    secrets = [item for (kind, _), item in objects.items() if kind == "Secret"]
    rest = [item for (kind, _), item in objects.items() if kind != "Secret"]
    for secret in secrets:
        for value in decoded(secret).values():
            assert value not in json.dumps(rest)
    assert decoded(secrets[0])["DATABASE_URL"] == "postgres://blog:blog@postgres/blog"


@pytest.mark.parametrize("name", ["production", "managed-redis", "single"])
def test_the_migration_needs_nothing_of_its_own_release(render, name):
    objects = render("web", name)
    job = one(objects, "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    weight = int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["python", "manage.py", "migrate", "--noinput", "--verbosity=0"]
    of_the_release = {
        key: item for key, item in objects.items() if key[0] in {"ConfigMap", "Secret"}
    }
    for source in container["envFrom"]:
        assert "configMapRef" not in source
        copy = of_the_release.get(("Secret", source["secretRef"]["name"]))
        if copy:
            assert int(copy["metadata"]["annotations"]["helm.sh/hook-weight"]) < weight
    assert ("ServiceAccount", pod.get("serviceAccountName")) not in objects
    written_out = {item["name"]: item["value"] for item in container["env"] if "value" in item}
    assert written_out == settings(objects)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("production", {"name": "redis", "key": "url"}),
        ("managed-redis", {"name": "managed-redis", "key": "REDIS_URL"}),
    ],
)
def test_the_address_of_redis_comes_from_a_secret(render, name, reference):
    _, container = server(render("web", name))
    assert container["env"] == [
        {"name": "REDIS_URL", "valueFrom": {"secretKeyRef": reference}},
    ]


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


def test_several_pods_without_redis_can_be_accepted_by_name(render):
    render("web", "production", redis={"existingSecret": "", "acceptNone": True})


def test_metrics_are_for_listed_peers_only(render):
    rules = one(render("web", "managed-redis"), "NetworkPolicy")["spec"]["ingress"]
    by_port = {rule["ports"][0]["port"]: rule for rule in rules}
    assert "from" not in by_port["http"]
    assert by_port["ops"]["from"][0]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "monitoring"
    }


# --- redis ------------------------------------------------------------------------------------


def redis_conf(objects):
    """Return the directives of redis.conf."""
    lines = one(objects, "ConfigMap")["data"]["redis.conf"].splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def test_the_secret_says_how_to_connect(render):
    secret = decoded(render("redis", "persistent")["Secret", "release-redis"])
    assert set(secret) == {"host", "port", "username", "password", "url"}
    url = urlsplit(secret["url"])
    assert (url.hostname, str(url.port)) == (secret["host"], secret["port"])
    assert (unquote(url.username), unquote(url.password)) == (
        secret["username"],
        secret["password"],
    )
    assert secret["password"] == "p@ss word/+:%"


def test_a_password_that_nobody_chose_is_random_and_kept(render):
    first, second = (one(render("redis", "default"), "Secret") for _ in range(2))
    assert decoded(first)["password"] != decoded(second)["password"]
    assert len(decoded(first)["password"]) == 32
    assert first["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_password_is_in_the_secret_alone(render):
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


def test_only_keys_that_expire_are_evicted_and_nothing_is_written_to_disk(render):
    directives = redis_conf(render("redis", "default"))
    assert directives["maxmemory-policy"] == "volatile-lru"
    assert (directives["save"], directives["appendonly"]) == ('""', "no")


def test_one_switch_makes_redis_persistent(render):
    objects = render("redis", "persistent")
    assert redis_conf(objects)["appendonly"] == "yes"
    (claim,) = one(objects, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"


def test_the_default_user_is_off_and_the_services_user_is_no_administrator(render):
    default, service = one(render("redis", "default"), "ConfigMap")["data"][
        "users.acl"
    ].splitlines()
    assert default == "user default off"
    # tests/service/test_redis_rights.py shows on a server what that allows.
    name, *rules = service.removeprefix("user ").split()
    assert (name, rules[:4]) == ("service", ["on", "@HASHES@", "~acme-blog:*", "-@all"])
    assert not [rule for rule in rules[4:] if not rule.startswith("+") or "@" in rule]


def test_the_documented_rights_for_a_managed_redis_are_the_charts(render, deploy_values):
    *_, service = one(render("redis", "default"), "ConfigMap")["data"]["users.acl"].splitlines()
    documented = (deploy_values.parent / "docs" / "deploying.md").read_text()
    assert service.partition("@HASHES@ ")[2] in " ".join(documented.split())


def test_further_rules_of_the_services_user_come_last(render):
    objects = render("redis", "default", auth={"extraRules": "+hget ~shared:*"})
    *_, service = one(objects, "ConfigMap")["data"]["users.acl"].splitlines()
    assert service.endswith(" +hget ~shared:*")


def test_a_change_of_redis_conf_restarts_redis_and_a_new_password_alone_does_not(render):
    def annotations(**values):
        stateful_set = one(render("redis", "default", **values), "StatefulSet")
        return stateful_set["spec"]["template"]["metadata"]["annotations"]

    assert annotations(extraConfig="timeout 60") != annotations()
    assert annotations() == annotations()


@pytest.mark.parametrize(
    ("reply", "ready", "alive"),
    [
        ("PONG", True, True),
        ("LOADING Redis is loading the dataset in memory", False, True),
        ("BUSY Redis is busy running a script", False, True),
        ("WRONGPASS invalid username-password pair", False, True),
        ("NOAUTH Authentication required.", False, False),
        ("Could not connect to Redis at 127.0.0.1:6379: Connection refused", False, False),
    ],
)
def test_pong_alone_is_ready_and_what_will_pass_is_alive(render, tmp_path, reply, ready, alive):
    # The script runs for real, with a redis-cli that answers as told and exits 0, as the real one.
    objects = render("redis", "default")
    (container,) = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    (tmp_path / "password").write_text("secret")
    (tmp_path / "redis-cli").write_text(f"#!/bin/sh\necho '{reply}'\n")
    (tmp_path / "redis-cli").chmod(0o755)
    script = one(objects, "ConfigMap")["data"]["ping.sh"].replace(
        "/run/secrets/redis", str(tmp_path)
    )
    for probe, healthy in {
        "startupProbe": ready,
        "readinessProbe": ready,
        "livenessProbe": alive,
    }.items():
        shell, path, *arguments = container[probe]["exec"]["command"]
        assert path == "/etc/redis/ping.sh"
        result = subprocess.run(
            [shell, "-c", script, path, *arguments],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            check=False,
        )
        assert (result.returncode == 0) == healthy, probe


def test_tls_is_the_only_way_in(render):
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


def test_the_exporter_is_scraped_with_a_user_of_its_own(render):
    objects = render("redis", "tls")
    _, exporter = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert "--redis.user=exporter" in exporter["args"]
    assert "env" not in exporter
    endpoint = one(objects, "ServiceMonitor")["spec"]["endpoints"][0]
    headless = objects["Service", "release-redis-headless"]["spec"]
    assert endpoint["port"] in {port["name"] for port in headless["ports"]}


def test_the_redis_service_keeps_its_address_and_pods_are_named_by_another(render):
    objects = render("redis", "default")
    assert "clusterIP" not in objects["Service", "release-redis"]["spec"]
    name = one(objects, "StatefulSet")["spec"]["serviceName"]
    assert objects["Service", name]["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize(("name", "peers"), [("default", 1), ("tls", 2)])
def test_redis_is_for_listed_peers_only(render, name, peers):
    objects = render("redis", name)
    policy = one(objects, "NetworkPolicy")["spec"]
    (rule,) = policy["ingress"]
    assert len(rule["from"]) == peers
    labels = one(objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("switch", ["podDisruptionBudget", "networkPolicy"])
@pytest.mark.parametrize(("chart", "name"), [("web", "production"), ("redis", "default")])
def test_what_is_switched_off_is_not_made(render, chart, name, switch):
    kind = switch[0].upper() + switch[1:]
    assert any(found == kind for found, _ in render(chart, name))
    assert not any(
        found == kind for found, _ in render(chart, name, **{switch: {"enabled": False}})
    )


# --- web: monitoring, sidecars, Argo CD -------------------------------------------------------


def test_prometheus_finds_the_ops_port(render):
    objects = render("web", "argocd")
    monitor = one(objects, "ServiceMonitor")["spec"]
    service = objects["Service", "release-web-metrics"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    served = objects["Service", "release-web"]["metadata"]["labels"]
    assert not monitor["selector"]["matchLabels"].items() <= served.items()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert service["spec"]["ports"][0]["targetPort"] == "ops"


def test_rules_and_dashboard_are_the_files(render):
    objects = render("web", "argocd")
    files = CHARTS / "web" / "files"
    rules = yaml.safe_load((files / "alerts.yaml").read_text())
    assert one(objects, "PrometheusRule")["spec"] == rules
    data = objects["ConfigMap", "release-web-dashboard"]["data"]
    assert json.loads(data["release-web.json"]) == json.loads(
        (files / "dashboard.json").read_text()
    )


def test_pods_are_added_for_saturation_and_for_requests(render):
    metrics = one(render("web", "argocd"), "HorizontalPodAutoscaler")["spec"]["metrics"]
    targets = {
        metric["pods"]["metric"]["name"]: metric["pods"]["target"]["averageValue"]
        for metric in metrics
        if metric["type"] == "Pods"
    }
    assert targets == {
        "http_server_thread_saturation": "750m",
        "http_server_requests_per_second": "12.5",
    }
    documented = (CHARTS.parent / "docs" / "deploying.md").read_text()
    assert all(f"as: {name}" in documented for name in targets)


def test_a_native_sidecar_runs_beside_the_migration_which_can_end(render):
    objects = render("web", "argocd")
    pod, _ = server(objects)
    job = one(objects, "Job")["spec"]["template"]["spec"]
    assert pod["initContainers"] == job["initContainers"]
    assert job["initContainers"][0]["restartPolicy"] == "Always"
    assert [container["name"] for container in pod["containers"]] == ["web", "assets"]
    assert [container["name"] for container in job["containers"]] == ["migrate"]
    for containers, of in ((pod["containers"][:1], pod), (job["containers"], job)):
        assert "/proxy" in {mount["mountPath"] for mount in containers[0]["volumeMounts"]}
        assert "proxy" in {volume["name"] for volume in of["volumes"]}


def test_argo_cd_brings_the_secret_then_migrates_then_changes_the_pods(render):
    objects = render("web", "argocd")

    def wave(kind):
        annotations = one(objects, kind)["metadata"].get("annotations", {})
        return int(annotations.get("argocd.argoproj.io/sync-wave", 0))

    assert wave("ExternalSecret") < wave("Job") < wave("Deployment")
    annotations = one(objects, "Job")["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/hook"] == "Sync"
    assert not any(name.startswith("helm.sh/hook") for name in annotations)


def test_argo_cd_migrates_with_a_secret_from_values_too(render):
    objects = render("web", "single", migrations={"hook": "argocd"})
    waves = {
        key: int(item["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))
        for key, item in objects.items()
    }
    assert waves["Secret", "release-web-migrate"] < waves["Job", "release-web-migrate"]


def test_extra_objects_are_rendered(render):
    objects = render("web", "argocd")
    secret = one(objects, "ExternalSecret")["spec"]
    assert secret["dataFrom"][0]["extract"]["key"] == "apps/acme-blog"
    assert objects["ConfigMap", "release-notes"]["data"] == {"written": "as text"}


def test_secrets_can_be_files(render):
    objects = render("web", "strict")
    data = settings(objects)
    for pod in (server(objects)[0], one(objects, "Job")["spec"]["template"]["spec"]):
        (container,) = pod["containers"]
        assert "secretRef" not in json.dumps(container.get("envFrom", []))
        assert "secretKeyRef" not in json.dumps(container)
        (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "secrets")
        (mount,) = (item for item in container["volumeMounts"] if item["name"] == "secrets")
        files = {
            f"{mount['mountPath']}/{item['path']}"
            for source in volume["projected"]["sources"]
            for item in source["secret"]["items"]
        }
        named = {data[f"{name}_FILE"] for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL")}
        assert named == files


@pytest.mark.parametrize("case", [case for case in CASES if case[0] == "web"])
def test_no_secret_is_in_a_config_map_or_an_argument(render, case):
    text = json.dumps([item for (kind, _), item in render(*case).items() if kind != "Secret"])
    for secret in ("only-for-a-review-environment", "postgres://", "redis://", "rediss://"):
        assert secret not in text
