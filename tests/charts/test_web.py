"""The web chart's pods, Services and scaling."""

import json

import pytest

from tests.charts.objects import one, pods, server, settings


def test_probes_use_the_ops_port(render):
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


def test_an_autoscaled_deployment_sets_no_replicas(render):
    objects = render("web", "production")
    assert "replicas" not in one(objects, "Deployment")["spec"]
    autoscaler = one(objects, "HorizontalPodAutoscaler")["spec"]
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (3, 12)
    (metric,) = autoscaler["metrics"]
    assert metric["containerResource"]["container"] == server(objects)[1]["name"]


def test_a_fixed_number_of_pods_has_no_autoscaler(render):
    objects = render("web", "managed-redis")
    assert one(objects, "Deployment")["spec"]["replicas"] == 3
    assert not any(kind == "HorizontalPodAutoscaler" for kind, _ in objects)


def test_a_rolling_update_starts_a_pod_before_it_stops_one(render):
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


@pytest.mark.parametrize(("name", "expected"), [("production", True), ("single", False)])
def test_a_disruption_budget_never_blocks_the_drain_of_a_single_pod(render, name, expected):
    objects = render("web", name)
    assert any(kind == "PodDisruptionBudget" for kind, _ in objects) == expected


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


def test_the_migration_runs_where_and_as_the_service_does(render):
    pod = {
        "affinity": {"nodeAffinity": {}},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "priorityClassName": "high",
        "tolerations": [{"operator": "Exists"}],
    }
    metadata = {
        "podAnnotations": {"sidecar.istio.io/inject": "false"},
        "podLabels": {"team": "blog"},
    }
    objects = render("web", "production", **pod, **metadata)
    for kind in ("Deployment", "Job"):
        template = one(objects, kind)["spec"]["template"]
        assert pod.items() <= template["spec"].items()
        for name, added in metadata.items():
            field = name.removeprefix("pod").lower()
            assert added.items() <= template["metadata"][field].items(), kind
