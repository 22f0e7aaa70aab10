"""Values that the web chart passes on to its objects: labels, pods, Service, routes, scaling."""

import pytest

from tests.charts.objects import one, pods, server, templates

LABELS = {"team": "blog", "app.kubernetes.io/part-of": "shop"}


@pytest.mark.parametrize("name", ["production", "managed-redis", "argocd", "workers"])
def test_common_labels_and_annotations_are_on_every_object(render, name):
    values = {"commonLabels": LABELS, "commonAnnotations": {"example.com/owner": "blog"}}
    objects = render("web", name, "--skip-tests", **values, extraObjects=[])
    for key, item in objects.items():
        assert item["metadata"]["labels"].items() >= LABELS.items(), key
        assert item["metadata"]["annotations"]["example.com/owner"] == "blog", key
    for key, template in templates(objects).items():
        assert template["metadata"]["labels"].items() >= LABELS.items(), key


def test_labels_select_the_same_pods_whatever_is_added(render):
    added = {"commonLabels": LABELS, "podLabels": {"team": "pods"}}
    before, after = (one(render("web", "production", **v), "Deployment") for v in ({}, added))
    assert after["spec"]["selector"] == before["spec"]["selector"]
    assert after["spec"]["template"]["metadata"]["labels"]["team"] == "pods"


def test_the_deployment_can_have_annotations(render):
    annotations = {"reloader.stakater.com/auto": "true"}
    deployment = one(
        render("web", "production", deploymentAnnotations=annotations, revisionHistoryLimit=0),
        "Deployment",
    )
    assert deployment["metadata"]["annotations"] == annotations
    assert deployment["spec"]["revisionHistoryLimit"] == 0


def test_all_pods_have_the_settings_of_the_pod(render):
    settings = {
        "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
        "dnsPolicy": "Default",
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db.internal"]}],
        "hostUsers": False,
        "runtimeClassName": "gvisor",
    }
    for key, pod in pods(render("web", "workers", "--skip-tests", **settings)).items():
        assert pod.items() >= settings.items(), key
    assert "hostUsers" not in server(render("web", "production"))[0]


@pytest.mark.parametrize(
    "service",
    [
        {"type": "NodePort", "nodePort": 30080, "externalTrafficPolicy": "Local"},
        {
            "type": "LoadBalancer",
            "loadBalancerClass": "example.com/internal",
            "loadBalancerSourceRanges": ["203.0.113.0/24", "2001:db8::/32"],
        },
    ],
)
def test_a_service_can_be_reached_from_outside(render, service):
    spec = one(render("web", "production", service=service), "Service")["spec"]
    (port,) = spec["ports"]
    assert {**spec, **port}.items() >= service.items()


def test_an_ingress_has_each_path_for_each_host(render):
    paths = [
        {"path": "/api", "pathType": "Prefix"},
        {"path": "/admin/", "pathType": "ImplementationSpecific"},
    ]
    objects = render("web", "production", ingress={"paths": paths})
    for rule in one(objects, "Ingress")["spec"]["rules"]:
        assert [{key: item[key] for key in paths[0]} for item in rule["http"]["paths"]] == paths
        backends = [item["backend"]["service"] for item in rule["http"]["paths"]]
        assert backends == [{"name": "release-web", "port": {"name": "http"}}] * 2


def test_a_route_has_matches_filters_and_timeouts(render):
    match = {"path": {"type": "PathPrefix", "value": "/api"}}
    redirect = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}
    rules: list[dict[str, object]] = [
        {"matches": [match], "timeouts": {"request": "30s"}},
        {"filters": [redirect], "backendRefs": []},
    ]
    first, second = one(render("web", "managed-redis", httpRoute={"rules": rules}), "HTTPRoute")[
        "spec"
    ]["rules"]
    assert first == {**rules[0], "backendRefs": [{"name": "release-web", "port": 80}]}
    assert second == rules[1]
    (default,) = one(render("web", "managed-redis"), "HTTPRoute")["spec"]["rules"]
    assert default == {"backendRefs": [{"name": "release-web", "port": 80}]}


def test_pods_scale_on_memory_and_on_the_queue(render):
    targets = {"targetMemoryUtilizationPercentage": 80, "targetQueueSeconds": 0.05}
    objects = render("web", "production", autoscaling=targets)
    queue, cpu, memory = one(objects, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert queue["pods"]["metric"]["name"] == "http_server_queue_seconds"
    assert queue["pods"]["target"] == {"type": "AverageValue", "averageValue": "50m"}
    assert [item["containerResource"]["name"] for item in (cpu, memory)] == ["cpu", "memory"]
    assert memory["containerResource"]["container"] == server(objects)[1]["name"]
    assert memory["containerResource"]["target"]["averageUtilization"] == 80


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ({"tag": "2.0"}, "2.0"),
        ({"tag": "2.0", "digest": "sha256:" + "a" * 64}, "2.0"),
        ({"tag": "", "digest": "sha256:" + "a" * 64}, "a" * 12),
        ({"tag": ""}, "0.1.0"),
    ],
)
def test_logs_and_labels_show_the_version_that_runs(render, image, version):
    objects = render("web", "production", image=image)
    assert objects["ConfigMap", "release-web"]["data"]["SERVICE_VERSION"] == version
    labels = one(objects, "Deployment")["metadata"]["labels"]
    assert labels["app.kubernetes.io/version"] == version
