"""The web chart rejects values that could open more connections than the database accepts."""

import re
from typing import Any

import pytest
import yaml

COMMAND: dict[str, Any] = {"command": ["python", "manage.py", "report"]}
ONE: dict[str, Any] = {"autoscaling": {"enabled": False}, "replicaCount": 1, "maxSurge": 1}


@pytest.fixture
def connections(template):
    """Return a function that returns how many connections a release can open."""

    def count(name="production", **values):
        database = {**values.pop("database", {}), "maxConnections": 1}
        result = template("web", name, database=database, **values)
        assert result.returncode != 0
        return int(re.findall(r"can open (\d+) connections, more than 1:", result.stderr)[0])

    return count


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # 1 pod, 1 that replaces it and 1 that drains, each 2 x (4 - 1); migration and cron job
        (ONE, 21),
        ({**ONE, "maxSurge": 2}, 33),
        ({**ONE, "replicaCount": 5, "maxSurge": "30%"}, 57),  # 30 % of 5 are 2 pods
        ({**ONE, "autoscaling": {"enabled": True, "maxReplicas": 9}, "replicaCount": None}, 69),
        ({**ONE, "server": {"workers": 3}}, 30),
        ({**ONE, "server": {"threads": 9}}, 51),
        ({**ONE, "env": {"WEB_CONCURRENCY": 1, "WEB_THREADS": 1}}, 6),
        ({**ONE, "migrations": {"enabled": False}}, 19),
        ({**ONE, "cronJobs": {"clear-expired": {"enabled": False}}}, 20),
        ({**ONE, "jobs": {"admin": COMMAND, "off": {"enabled": False}}}, 22),
        ({**ONE, "workers": {"mail": {**COMMAND, "replicas": 3}}}, 27),
        ({**ONE, "workers": {"mail": {**COMMAND, "replicas": 3, "databaseConnections": 4}}}, 45),
        ({**ONE, "workers": {"mail": {**COMMAND, "strategy": {"type": "Recreate"}}}}, 22),
        ({**ONE, "workers": {"mail": {**COMMAND, "enabled": False}}}, 21),
    ],
)
def test_every_pod_that_can_run_at_a_time_is_counted(connections, values, expected):
    assert connections(**values) == expected


def test_as_many_connections_as_the_database_accepts_are_valid(render, template):
    render("web", "production", **ONE, database={"maxConnections": 21})
    assert template("web", "production", **ONE, database={"maxConnections": 20}).returncode != 0


def test_the_error_names_each_number_and_what_to_lower(template):
    result = template("web", "production", database={"maxConnections": 60})
    assert (
        "database.maxConnections: the release can open 87 connections, more than 60:"
        " 84 by 14 pods (autoscaling.maxReplicas 12 + 2 x maxSurge 1)"
        " x server.workers 2 x (server.threads 4 - 1), 0 by workers,"
        " 3 by the migration, cronJobs and jobs; lower the number of pods, workers or threads"
    ) in result.stderr


@pytest.mark.parametrize("name", ["production", "staging"])
def test_a_new_service_fits_in_postgresql_s_default(deploy_values, name):
    values = yaml.safe_load((deploy_values / f"{name}.yaml").read_text())
    assert values["database"]["maxConnections"] == 100 - 3  # superuser_reserved_connections


def test_the_documents_count_like_the_chart(connections, deploy_values):
    values = yaml.safe_load((deploy_values / "production.yaml").read_text())
    count = connections("staging", autoscaling=values["autoscaling"])
    for name in ("deploy/production.yaml", "docs/deploying.md"):
        text = (deploy_values.parent / name).read_text()
        assert f"can open {count}" in " ".join(text.replace("# ", "").split()), name
