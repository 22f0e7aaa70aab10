"""The web chart with Prometheus, Grafana, sidecars, Argo CD and secrets as files."""

import json

import pytest
import yaml

from tests.charts.conftest import CHARTS
from tests.charts.objects import CASES, one, server, settings


def test_prometheus_discovers_the_ops_port(render):
    objects = render("web", "argocd")
    monitor = one(objects, "ServiceMonitor")["spec"]
    service = objects["Service", "release-web-metrics"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    http = objects["Service", "release-web"]["metadata"]["labels"]
    assert not monitor["selector"]["matchLabels"].items() <= http.items()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert service["spec"]["ports"][0]["targetPort"] == "ops"


def test_rules_and_dashboard_match_the_files(render):
    objects = render("web", "argocd")
    files = CHARTS / "web" / "files"
    rules = yaml.safe_load((files / "alerts.yaml").read_text())
    assert one(objects, "PrometheusRule")["spec"] == rules
    data = objects["ConfigMap", "release-web-dashboard"]["data"]
    assert json.loads(data["release-web.json"]) == json.loads(
        (files / "dashboard.json").read_text()
    )


def test_runbook_urls_can_be_absolute(render):
    base = "https://git.example.com/acme/blog/blob/main/"
    objects = render("web", "argocd", metrics={"prometheusRule": {"runbookBaseUrl": base}})
    for rule in one(objects, "PrometheusRule")["spec"]["groups"][0]["rules"]:
        anchor = rule["alert"].lower()
        assert rule["annotations"]["runbook_url"] == f"{base}docs/logging.md#{anchor}"


def test_pods_scale_on_saturation_and_on_requests(render):
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


def test_a_native_sidecar_runs_next_to_the_migration_without_blocking_it(render):
    objects = render("web", "argocd")
    pod, _ = server(objects)
    job = one(objects, "Job")["spec"]["template"]["spec"]
    assert pod["initContainers"] == job["initContainers"]
    assert job["initContainers"][0]["restartPolicy"] == "Always"
    assert [container["name"] for container in pod["containers"]] == ["web", "assets"]
    assert [container["name"] for container in job["containers"]] == ["migrate"]
    for spec in (pod, job):
        assert "/proxy" in {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
        assert "proxy" in {volume["name"] for volume in spec["volumes"]}


def test_argo_cd_syncs_the_secret_then_migrates_then_updates_the_pods(render):
    objects = render("web", "argocd")

    def wave(kind):
        annotations = one(objects, kind)["metadata"].get("annotations", {})
        return int(annotations.get("argocd.argoproj.io/sync-wave", 0))

    assert wave("ExternalSecret") < wave("Job") < wave("Deployment")
    annotations = one(objects, "Job")["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/hook"] == "Sync"
    assert not any(name.startswith("helm.sh/hook") for name in annotations)


def test_argo_cd_migrates_with_a_secret_from_values(render):
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


def test_secrets_can_be_mounted_as_files(render):
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
        configured = {data[f"{name}_FILE"] for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL")}
        assert configured == files


def test_the_url_of_the_database_s_own_secret_can_be_a_file(render):
    values = {"secretFiles": ["SECRET_KEY"], "database": {"existingSecret": "blog-app"}}
    objects = render("web", "strict", **values)
    volumes = {volume["name"]: volume for volume in server(objects)[0]["volumes"]}
    items = [{"key": "uri", "path": "DATABASE_URL"}]
    source = {"secret": {"name": "blog-app", "items": items}}
    assert source in volumes["secrets"]["projected"]["sources"]
    assert settings(objects)["DATABASE_URL_FILE"] == "/run/secrets/service/DATABASE_URL"


@pytest.mark.parametrize("case", [case for case in CASES if case[0] == "web"])
def test_no_secret_is_in_a_config_map_or_an_argument(render, case):
    text = json.dumps([item for (kind, _), item in render(*case).items() if kind != "Secret"])
    for secret in ("only-for-a-review-environment", "postgres://", "redis://", "rediss://"):
        assert secret not in text
