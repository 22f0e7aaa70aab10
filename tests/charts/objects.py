"""Test cases of the charts, and accessors for rendered objects."""

import base64

import pytest

CASES = [
    *(("web", name) for name in ("production", "managed-redis", "single", "argocd", "strict")),
    *(("web", name) for name in ("workers", "staging")),
    *(("redis", name) for name in ("default", "existing-secret", "persistent", "strict", "tls")),
]
KUBERNETES = ["1.30.0", "1.37.0"]
EVERY_CASE = pytest.mark.parametrize(("chart", "name"), CASES)
# Kubernetes has no schemas for these custom resources.
WITHOUT_SCHEMA = {"HTTPRoute", "ServiceMonitor", "PrometheusRule", "ExternalSecret"}


def one(objects, kind):
    """Return the only object of a kind."""
    (item,) = (item for (item_kind, _), item in objects.items() if item_kind == kind)
    return item


def templates(objects):
    """Return each pod template, or pod, by the kind and name of its object."""
    found = {}
    for key, item in objects.items():
        job = item["spec"]["jobTemplate"] if key[0] == "CronJob" else item
        if key[0] in {"CronJob", "Deployment", "StatefulSet", "Job"}:
            found[key] = job["spec"]["template"]
        elif key[0] == "Pod":
            found[key] = item
    return found


def pods(objects):
    """Return each pod's specification, by the kind and name of its object."""
    return {key: template["spec"] for key, template in templates(objects).items()}


def component(template):
    """Return which part of a release a pod is."""
    return template["metadata"]["labels"]["app.kubernetes.io/component"]


def server(objects):
    """Return the specification of web's pods, and their first container."""
    (pod,) = (
        template["spec"]
        for template in templates(objects).values()
        if component(template) == "server"
    )
    return pod, pod["containers"][0]


def settings(objects):
    """Return web's settings from its ConfigMap."""
    return objects["ConfigMap", "release-web"]["data"]


def decoded(secret):
    """Decode a Secret's values."""
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
