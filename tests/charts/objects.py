"""Test cases of the charts, and accessors for rendered objects."""

import base64

import pytest

CASES = [
    *(("web", name) for name in ("production", "managed-redis", "single", "argocd", "strict")),
    ("web", "staging"),
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


def pods(objects):
    """Return each pod's specification, by the kind and name of its object."""
    return {
        key: item["spec"] if key[0] == "Pod" else item["spec"]["template"]["spec"]
        for key, item in objects.items()
        if key[0] in {"Deployment", "StatefulSet", "Job", "Pod"}
    }


def server(objects):
    """Return the specification of web's pods, and their first container."""
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def settings(objects):
    """Return web's settings from its ConfigMap."""
    return objects["ConfigMap", "release-web"]["data"]


def decoded(secret):
    """Decode a Secret's values."""
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
