"""Releases under load: good ones fail no request, bad ones are rolled back."""

import json

import pytest

from . import images
from .cluster import restarts
from .web import RELEASE_NAME

pytestmark = pytest.mark.cluster


def describe(pods):
    """Return the UIDs and the restarts of pods, to compare."""
    return {pod.metadata.uid for pod in pods}, restarts(pods)


def test_a_rolling_upgrade_with_a_migration_fails_no_request(cluster, web, record):
    old = web.settle()
    with web.load() as load:
        load.more(100)
        web.upgrade(image={"tag": images.NEXT})
        new = web.settle()
        load.more(100)

    record("Rolling upgrade with a migration, 50 requests per second", **load.results.figures())
    assert load.results.is_served, load.results.outcomes
    assert not {pod.metadata.uid for pod in old} & {pod.metadata.uid for pod in new}
    name = new[0].metadata.name
    listed = cluster.execute(name, "python", "manage.py", "showmigrations", "blog")
    assert f"[X] {images.NEXT_MIGRATION}" in listed


def test_changed_settings_fail_no_request_and_take_effect(web, record):
    with web.load() as load:
        load.more(100)
        web.upgrade(throttles={"author_limit": "7/hour"})
        web.settle()
        load.more(100)

    record("Change of a throttle, 50 requests per second", **load.results.figures())
    assert load.results.is_served, load.results.outcomes
    assert web.admitted(20).outcomes == {"200": 7, "429": 13}


@pytest.mark.parametrize("tag", [images.CRASHING, images.FAILING])
def test_a_bad_release_is_rolled_back_and_fails_no_request(cluster, web, record, tag):
    before = describe(web.settle())
    is_helm_3 = cluster.helm("version", "--template={{.Version}}").stdout.startswith("v3")
    undo = "--atomic" if is_helm_3 else "--rollback-on-failure"
    with web.load() as load:
        load.more(100)
        # A retry of the migration would only take longer.
        values = {"image": {"tag": tag}, "migrations": {"backoffLimit": 0}}
        result = web.upgrade(undo, "--timeout=30s", check=False, **values)
        after = describe(web.settle())
        load.more(100)

    assert result.returncode != 0, result.stdout
    status = json.loads(cluster.helm("status", RELEASE_NAME, "--output=json").stdout)
    assert status["info"]["status"] == "deployed", status["info"]
    assert after == before
    fault = {images.CRASHING: "that crashes", images.FAILING: "whose migration fails"}[tag]
    record(f"Release {fault}, 50 requests per second", **load.results.figures())
    assert load.results.is_served, load.results.outcomes
