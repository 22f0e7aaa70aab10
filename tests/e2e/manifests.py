"""Objects in the namespace that the charts' releases depend on."""

import secrets
from typing import Any

from .cluster import TESTER

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
    "runAsNonRoot": True,
}


def namespace(name: str) -> dict[str, Any]:
    """Return a namespace that enforces the restricted Pod Security level."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def secret(name: str, **data: str) -> dict[str, Any]:
    """Return a Secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": data,
    }


def tester(image: str) -> dict[str, Any]:
    """Return an idle pod of the service's image, from which requests are sent."""
    container = {
        "name": TESTER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
        "securityContext": _RESTRICTED,
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }
    pod = {
        "containers": [container],
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": TESTER}, "spec": pod}


def postgres(password: str) -> list[dict[str, Any]]:
    """Return a PostgreSQL server with its data on a volume."""
    labels = {"app": "postgres"}
    metadata = {"name": "postgres"}
    data = "/var/lib/postgresql/data"
    container = {
        "name": "postgres",
        "image": "postgres:17",
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "POSTGRES_PASSWORD", "value": password},
            {"name": "POSTGRES_DB", "value": "blog"},
            {"name": "PGDATA", "value": f"{data}/pgdata"},
        ],
        "readinessProbe": {
            "exec": {"command": ["pg_isready", "--host=127.0.0.1", "--username=postgres"]},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        },
        "volumeMounts": [{"name": "data", "mountPath": data}],
        "securityContext": _RESTRICTED,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    user = {"runAsUser": 999, "runAsGroup": 999, "fsGroup": 999}
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    pod = {
        "containers": [container],
        # Otherwise each start makes the data group-accessible, and PostgreSQL exits.
        "securityContext": user | {"fsGroupChangePolicy": "OnRootMismatch"},
        "automountServiceAccountToken": False,
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": 5432}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": metadata,
            "spec": {
                "serviceName": "postgres",
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
                "volumeClaimTemplates": [claim],
            },
        },
    ]


def prerequisites(release: str, image: str) -> list[dict[str, Any]]:
    """Return the objects that must exist before the charts are installed."""
    password = secrets.token_hex(16)
    url = f"postgres://postgres:{password}@postgres:5432/blog"
    settings = secret(release, SECRET_KEY=secrets.token_urlsafe(64), DATABASE_URL=url)
    return [settings, *postgres(password), tester(image)]
