"""The web chart's cron jobs, workers and jobs: commands with the service's environment."""

from typing import Any

import pytest

from tests.charts.objects import one, pods, server, templates

COMMAND: dict[str, Any] = {"command": ["python", "manage.py", "report"]}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "cronJobs": ("CronJob", {**COMMAND, "schedule": "0 6 * * *"}),
    "workers": ("Deployment", COMMAND),
    "jobs": ("Job", COMMAND),
}
EVERY_KIND = pytest.mark.parametrize("value", KINDS)


def rendered(render, value, case="production", name="report", **entry):
    """Return the objects of a release with an entry, and the key of the entry's object."""
    kind, required = KINDS[value]
    objects = render("web", case, **{value: {name: {**required, **entry}}})
    (key,) = (key for key in objects if key[0] == kind and key[1].endswith(f"-{name}"))
    return objects, key


@EVERY_KIND
@pytest.mark.parametrize("case", ["production", "strict", "managed-redis", "single", "workers"])
def test_a_command_has_the_environment_of_the_service(render, value, case):
    objects, key = rendered(render, value, case)
    pod, service = pods(objects)[key], server(objects)[0]
    (container,), (web, *_) = pod["containers"], service["containers"]
    assert container["command"] == COMMAND["command"]
    for field in ("image", "env", "envFrom", "volumeMounts", "securityContext", "resources"):
        assert container.get(field) == web.get(field), field
    for field in ("volumes", "serviceAccountName", "securityContext", "nodeSelector"):
        assert pod.get(field) == service.get(field), field


@EVERY_KIND
def test_a_command_has_settings_of_its_own(render, value):
    source = {"secretRef": {"name": "report"}}
    field = {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    resources = {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    pod_settings = {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "low",
        "terminationGracePeriodSeconds": 90,
    }
    objects, key = rendered(
        render,
        value,
        args=["--all"],
        env={"LOG_LEVEL": "DEBUG", "LIMIT": 1000000, "HOME": "$(PATH)", "POD_IP": field},
        envFrom=[source],
        resources=resources,
        podAnnotations={"example.com/team": "reports"},
        podLabels={"team": "reports"},
        **pod_settings,
    )
    template = templates(objects)[key]
    (container,) = template["spec"]["containers"]
    env = {item.pop("name"): item for item in container["env"]}
    assert {name: env[name] for name in ("LOG_LEVEL", "LIMIT", "HOME", "POD_IP")} == {
        "LOG_LEVEL": {"value": "DEBUG"},
        "LIMIT": {"value": "1000000"},
        "HOME": {"value": "$$(PATH)"},  # not expanded
        "POD_IP": field,
    }
    assert container["args"] == ["--all"]
    assert container["envFrom"][-1] == source  # takes precedence
    assert container["resources"] == resources
    assert template["spec"].items() >= pod_settings.items()
    assert template["metadata"]["labels"]["team"] == "reports"
    assert template["metadata"]["annotations"]["example.com/team"] == "reports"


@EVERY_KIND
@pytest.mark.parametrize("name", ["r", "a" * 30])
def test_names_of_objects_fit_and_differ(render, value, name):
    kind, required = KINDS[value]
    entries = {name: required, f"{name[:-1]}z": required}
    objects = render("web", "production", fullnameOverride="b" * 52, **{value: entries})
    names = [found for found_kind, found in objects if found_kind == kind]
    assert len([found for found in names if found.endswith(("-" + name, "z"))]) == 2
    assert all(len(found) <= 52 for found in names if not found.endswith("-migrate"))
    for template in templates(objects).values():
        assert all(len(label) <= 63 for label in template["metadata"]["labels"].values())


@EVERY_KIND
def test_an_entry_can_be_disabled(render, value):
    kind, required = KINDS[value]
    objects = render("web", "production", **{value: {"report": {**required, "enabled": False}}})
    assert (kind, "release-web-report") not in objects


def test_expired_sessions_are_deleted_by_default(render):
    objects = render("web", "production")
    assert one(objects, "CronJob")["spec"]["schedule"]
    (container,) = pods(objects)["CronJob", "release-web-clear-expired"]["containers"]
    assert container["command"] == ["python", "manage.py", "clear_expired"]
    disabled = render("web", "production", cronJobs={"clear-expired": {"enabled": False}})
    assert not any(kind == "CronJob" for kind, _ in disabled)


def test_runs_of_a_cron_job_neither_overlap_nor_hang(render):
    objects, key = rendered(render, "cronJobs")
    spec = objects[key]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] == 300
    job = spec["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (2, 3600)
    assert job["template"]["spec"]["restartPolicy"] == "Never"


def test_every_setting_of_a_cron_job_can_be_changed(render):
    in_spec = {
        "schedule": "*/5 * * * *",
        "timeZone": "Europe/Berlin",
        "suspend": True,
        "concurrencyPolicy": "Replace",
        "startingDeadlineSeconds": 60,
        "successfulJobsHistoryLimit": 0,
        "failedJobsHistoryLimit": 5,
    }
    in_job = {"backoffLimit": 0, "activeDeadlineSeconds": 2000000}
    objects, key = rendered(render, "cronJobs", **in_spec, **in_job)
    spec = objects[key]["spec"]
    assert spec.items() >= in_spec.items()
    assert spec["jobTemplate"]["spec"].items() >= in_job.items()


def test_neither_service_nor_budget_nor_autoscaler_of_the_server_selects_a_worker(render):
    objects, key = rendered(render, "workers", replicas=2)
    labels = templates(objects)[key]["metadata"]["labels"].items()
    assert objects[key]["spec"]["selector"]["matchLabels"].items() <= labels
    selectors = {
        "Service": objects["Service", "release-web"]["spec"]["selector"],
        "PDB": objects["PodDisruptionBudget", "release-web"]["spec"]["selector"]["matchLabels"],
        "server": objects["Deployment", "release-web"]["spec"]["selector"]["matchLabels"],
    }
    assert not [name for name, selector in selectors.items() if selector.items() <= labels]
    scaled = one(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert scaled["name"] == "release-web"


def test_a_worker_restarts_on_changed_settings(render):
    def annotations(**values):
        objects = render("web", "production", workers={"report": COMMAND}, **values)
        return templates(objects)["Deployment", "release-web-report"]["metadata"]["annotations"]

    assert annotations(throttles={"blog_limit": "7/hour"}) != annotations()
    assert annotations(service={"port": 8080}) == annotations()


@pytest.mark.parametrize("replicas", [0, 1, 3])
def test_a_worker_has_replicas_and_a_budget_if_there_are_several(render, replicas):
    objects, key = rendered(render, "workers", replicas=replicas)
    assert objects[key]["spec"]["replicas"] == replicas
    budget = objects.get(("PodDisruptionBudget", "release-web-report"))
    assert (budget is not None) == (replicas > 1)
    if budget:
        selector = objects[key]["spec"]["selector"]
        assert budget["spec"]["selector"] == selector


def test_a_worker_has_time_to_finish_its_task_and_the_probes_that_are_set(render):
    probe = {"exec": {"command": ["test", "-e", "/tmp/alive"]}}
    objects, key = rendered(render, "workers", livenessProbe=probe, strategy={"type": "Recreate"})
    pod = pods(objects)[key]
    assert pod["terminationGracePeriodSeconds"] == 60
    assert pod["containers"][0]["livenessProbe"] == probe
    assert "readinessProbe" not in pod["containers"][0]
    assert objects[key]["spec"]["strategy"] == {"type": "Recreate"}


def test_a_job_runs_after_the_release(render):
    objects, key = rendered(render, "jobs")
    annotations = objects[key]["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "post-install,post-upgrade"
    objects, key = rendered(render, "jobs", "argocd")
    annotations = objects[key]["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/hook"] == "PostSync"
    assert not any(name.startswith("helm.sh/hook") for name in annotations)


@pytest.mark.parametrize("case", ["production", "workers"])
def test_the_network_policy_applies_to_every_pod_but_the_test_pod(render, case):
    objects = render("web", case)
    selector = one(objects, "NetworkPolicy")["spec"]["podSelector"]
    (excluded,) = selector["matchExpressions"]
    for key, template in templates(objects).items():
        labels = template["metadata"]["labels"]
        assert selector["matchLabels"].items() <= labels.items(), key
        assert (labels[excluded["key"]] in excluded["values"]) == (key[0] == "Pod"), key


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"workers": {"mail": {**COMMAND, "schedule": "* * * * *"}}}, "schedule"),
        ({"jobs": {"admin": {**COMMAND, "replicas": 2}}}, "replicas"),
        ({"cronJobs": {"report": COMMAND}}, "schedule"),
        ({"cronJobs": {"Report": COMMAND}}, "Report"),
        ({"workers": {"mail": {"replicas": 2}}}, "command"),
        ({"workers": {"m" * 31: COMMAND}}, "m" * 31),
        ({"jobs": {"migrate": COMMAND}}, "jobs.migrate"),
    ],
)
def test_an_invalid_entry_is_rejected_by_name(template, values, named):
    result = template("web", "production", **values)
    assert result.returncode != 0
    assert named in result.stderr
