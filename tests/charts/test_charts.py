"""Both charts: valid for each supported Kubernetes version, restricted, and consistent."""

import json
import tomllib

import kubernetes_validate
import pytest
import yaml

from tests.charts.conftest import CHARTS
from tests.charts.objects import (
    CASES,
    EVERY_CASE,
    KUBERNETES,
    WITHOUT_SCHEMA,
    component,
    pods,
    templates,
)
from tests.charts.values_table import readme, table


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

    assert lines(CHARTS / chart / "values.yaml") < 350
    files = [path for path in (CHARTS / chart / "templates").rglob("*") if path.is_file()]
    assert sum(map(lines, files)) < 1100
    assert not any("{%" in path.read_text() for path in files)


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


def test_the_redis_user_can_access_the_keys_of_the_generated_service(deploy_values):
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
def test_pods_have_no_token_no_service_links_and_a_memory_limit(render, chart, name):
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
def test_probes_time_out_after_five_seconds_or_more(render, chart, name):
    objects = render(chart, name)
    for template in templates(objects).values():
        if component(template) != "server":
            continue
        first, *others = template["spec"]["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= first.keys()
        for container in [first, *others]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container.get(probe, {"timeoutSeconds": 5})["timeoutSeconds"] >= 5, probe


@EVERY_CASE
def test_a_service_selects_the_server_and_no_other_pod(render, chart, name):
    objects = render(chart, name)
    for service in (item for (kind, _), item in objects.items() if kind == "Service"):
        selector = service["spec"]["selector"].items()
        for key, template in templates(objects).items():
            selected = selector <= template["metadata"]["labels"].items()
            assert selected == (component(template) == "server"), key


@pytest.mark.parametrize(
    ("chart", "name"), [case for case in CASES if case != ("redis", "default")]
)
def test_two_renders_are_identical(template, chart, name):
    assert template(chart, name).stdout == template(chart, name).stdout


@pytest.mark.parametrize("chart", ["web", "redis"])
def test_the_schema_has_the_same_keys_as_the_values(chart):
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
    values = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())

    def compare(schema, values, path):
        if "$ref" in schema:
            schema = schema["$ref"].removeprefix("#/definitions/")
            schema = definitions[schema]
        if isinstance(values, dict) and "patternProperties" not in schema:
            known = set(schema.get("properties", values)) - {"global"}
            # A probe can have more fields than the defaults set.
            assert set(values) == known or path.startswith("probes."), path
            for key, value in values.items():
                compare(schema.get("properties", {}).get(key, {}), value, f"{path}{key}.")

    definitions = schema["definitions"]
    compare(schema, values, "")


@pytest.mark.parametrize("switch", ["podDisruptionBudget", "networkPolicy"])
@pytest.mark.parametrize(("chart", "name"), [("web", "production"), ("redis", "default")])
def test_a_disabled_object_is_not_rendered(render, chart, name, switch):
    kind = switch[0].upper() + switch[1:]
    assert any(item_kind == kind for item_kind, _ in render(chart, name))
    assert not any(
        item_kind == kind for item_kind, _ in render(chart, name, **{switch: {"enabled": False}})
    )
