"""The web chart's alerts, dashboard and scaling metrics query what the runtime exports."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.charts import tools
from tests.charts.conftest import CHARTS
from tests.charts.objects import one
from tests.charts.queries import TARGET, selectors

FILES = CHARTS / "web" / "files"
RULES = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"][0]["rules"]
PANELS = json.loads((FILES / "dashboard.json").read_text())["panels"]
UNIT_TESTS = Path(__file__).parent / "alerts-tests.yaml"
RUNTIME = CHARTS.parent / "packages" / "service-runtime" / "src" / "service_runtime"


def exported():
    """Return the labels of each time series that the runtime declares, by name."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse((RUNTIME / "metrics.py").read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in {"Counter", "Gauge", "Histogram"}:
            name, _, *rest = (ast.literal_eval(argument) for argument in node.args)
            labels = set(rest[0]) if rest else set()
            found[name] = labels
            if node.func.id == "Histogram":
                found |= {f"{name}_count": labels, f"{name}_sum": labels}
                found[f"{name}_bucket"] = labels | {"le"}
    return found


def adapter_rules(service):
    """Return the rules of prometheus-adapter in a service's documentation, by metric."""
    text = (service / "docs" / "deploying.md").read_text()
    (block,) = re.findall(r"    # values of prometheus-adapter\n((?:    .*\n)+)", text)
    rules = yaml.safe_load(block)["rules"]["custom"]
    return {rule["name"]["as"]: rule for rule in rules}


@pytest.mark.parametrize(
    "query",
    [rule["expr"] for rule in RULES] + [t["expr"] for panel in PANELS for t in panel["targets"]],
)
def test_every_query_selects_series_and_labels_of_the_runtime(query):
    known = exported()
    for name, matched, grouped in selectors(query):
        assert name in known
        assert matched | grouped <= known[name] | TARGET, name


def test_every_panel_shows_the_selected_namespace_and_services():
    variables = json.loads((FILES / "dashboard.json").read_text())["templating"]["list"]
    assert {"namespace", "job"} <= {variable["name"] for variable in variables}
    for panel in PANELS:
        for target in panel["targets"]:
            for _, matched, _ in selectors(target["expr"]):
                assert {"namespace", "job"} <= matched, panel["title"]


def test_panels_neither_overlap_nor_repeat():
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in PANELS
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    for field in ("id", "title"):
        assert len({panel[field] for panel in PANELS}) == len(PANELS)


def test_alerts_name_the_namespace_and_the_service():
    for rule in RULES:
        for _, _, grouped in selectors(rule["expr"]):
            assert {"namespace", "job"} <= grouped, rule["alert"]


def test_every_alert_has_a_runbook(deploy_values):
    documented = (deploy_values.parent / "docs" / "logging.md").read_text()
    runbooks = documented.partition("## Runbooks\n")[2]
    headings = re.findall(r"^### (\w+)$", runbooks, re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]


@pytest.mark.parametrize(
    "arguments", [("check", "rules", FILES / "alerts.yaml"), ("test", "rules", UNIT_TESTS)]
)
def test_alerts_are_valid_and_fire_as_in_their_unit_tests(arguments):
    command = [tools.promtool(), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_every_alert_has_unit_tests_in_which_it_fires_and_does_not():
    cases = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    assert {(rule["alert"], fires) for rule in RULES for fires in (True, False)} == set(cases)


def changes():
    """Return parameters with a rule and a change of it that its unit tests must detect."""
    parameters = []
    for rule in RULES:
        expression, _, threshold = rule["expr"].rpartition(" > ")
        found = {
            "lower threshold": {"expr": f"{expression} >= 0"},
            "higher threshold": {"expr": f"{expression} > {float(threshold) * 3 + 10}"},
        }
        if "for" in rule:
            found["no duration"] = {"for": "0s"}
        for name, change in found.items():
            parameters.append(pytest.param(rule, change, id=f"{rule['alert']}, {name}"))
    return parameters


@pytest.mark.parametrize(("rule", "change"), changes())
def test_unit_tests_of_an_alert_detect(rule, change, tmp_path):
    rules = [each | change if each is rule else each for each in RULES]
    groups = {"groups": [{"name": "service", "rules": rules}]}
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(groups))
    tests = yaml.safe_load(UNIT_TESTS.read_text()) | {"rule_files": ["alerts.yaml"]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    command = [tools.promtool(), "test", "rules", tmp_path / "tests.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"alertname: {rule['alert']}" in done.stdout + done.stderr


def test_the_metrics_of_the_autoscaler_are_documented(render, deploy_values):
    targets = {
        "targetThreadSaturationPercentage": 70,
        "targetQueueSeconds": 0.05,
        "targetRequestsPerSecond": 50,
    }
    autoscaler = one(render("web", "production", autoscaling=targets), "HorizontalPodAutoscaler")
    rules = adapter_rules(deploy_values.parent)
    names = [
        item["pods"]["metric"]["name"]
        for item in autoscaler["spec"]["metrics"]
        if item["type"] == "Pods"
    ]
    assert sorted(names) == sorted(rules)
    known = exported()
    for rule in rules.values():
        # As prometheus-adapter renders it for one pod.
        query = rule["metricsQuery"].replace("<<.GroupBy>>", "pod")
        query = query.replace("<<.LabelMatchers>>", 'namespace="a",pod=~"b|c"')
        for name, matched, grouped in [*selectors(query), *selectors(rule["seriesQuery"])]:
            assert name in known
            assert matched | grouped <= TARGET
