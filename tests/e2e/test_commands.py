"""Cron jobs, workers, jobs and sidecars next to the service."""

import subprocess

import pytest
import yaml

from ..running import wait_for
from . import manifests
from .cluster import helm_program, is_ready
from .web import HOST, RELEASE_NAME

pytestmark = pytest.mark.cluster
SESSIONS = """
from datetime import timedelta
from django.contrib.sessions.models import Session
from django.utils import timezone
for key, days in (("expired", -1), ("valid", 1)):
    Session.objects.update_or_create(
        session_key=key, defaults={"expire_date": timezone.now() + timedelta(days=days)}
    )
"""
LIST_SESSIONS = """
from django.contrib.sessions.models import Session
print(sorted(Session.objects.values_list("session_key", flat=True)))
"""
WORKER = """
import signal, time
def stop(*arguments):
    time.sleep(2)
    print("drained", flush=True)
    raise SystemExit
signal.signal(signal.SIGTERM, stop)
print("working", flush=True)
while True:
    time.sleep(1)
"""
# Forwards connections to PostgreSQL.
PROXY = """
import asyncio
async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
async def serve(reader, writer):
    other = await asyncio.open_connection("postgres", 5432)
    await asyncio.gather(copy(reader, other[1]), copy(other[0], writer), return_exceptions=True)
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", 6432) as server:
        await server.serve_forever()
asyncio.run(main())
"""

CONNECT = "import socket; socket.create_connection(('127.0.0.1', 6432))"


def shell(cluster, web, script):
    """Run a script in Django's shell in a pod of the service."""
    pod = web.pods()[0].metadata.name
    return cluster.execute(pod, "python", "manage.py", "shell", "-v0", "-c", script)


def test_a_cron_job_deletes_an_expired_session(cluster, web):
    shell(cluster, web, SESSIONS)
    cron_job = f"cronjob/{HOST}-clear-expired"
    cluster.kubectl("create", "job", "clear-now", f"--from={cron_job}")
    cluster.kubectl("wait", "--for=condition=Complete", "job/clear-now", "--timeout=120s")

    assert "['valid']" in shell(cluster, web, LIST_SESSIONS)
    log = cluster.kubectl("logs", "job/clear-now")
    assert "Deleted 1 sessions" in log
    assert '"command": "clear_expired", "outcome": "succeeded"' in log
    cluster.kubectl("delete", "job", "clear-now")


def test_a_job_creates_the_first_admin_once(cluster, web):
    password = {"DJANGO_SUPERUSER_PASSWORD": "correct horse battery staple"}
    cluster.apply(manifests.secret("admin", DJANGO_SUPERUSER_USERNAME="root", **password))
    command = ["python", "manage.py", "create_admin"]
    job = {"command": command, "envFrom": [{"secretRef": {"name": "admin"}}]}
    for _ in range(2):
        web.upgrade(jobs={"admin": job})

    # One text, which the log line of the command cannot interrupt.
    count = "from django.contrib.auth import get_user_model as model; print('users: %d' %"
    count += " model().objects.filter(username='root', is_superuser=True).count())"
    assert "users: 1" in shell(cluster, web, count)


def test_a_worker_drains(cluster, web):
    web.upgrade(workers={"queue": {"command": ["python", "-c", WORKER]}})
    (pod,) = cluster.pods(instance=RELEASE_NAME, component="worker-queue")
    # Helm does not wait for the only pod of a Deployment, which may be unavailable.
    cluster.wait_ready(pod.metadata.name)
    log = ["kubectl", "--namespace", cluster.namespace, "logs", "--follow", pod.metadata.name]
    with subprocess.Popen(log, stdout=subprocess.PIPE, text=True) as followed:
        web.upgrade()
        text = followed.stdout.read() if followed.stdout else ""
    assert text.split() == ["working", "drained"]
    # The Service sends no request to a worker.
    assert all(is_ready(pod) for pod in web.settle())


def test_a_database_proxy_runs_beside_service_and_migration(cluster, web, record):
    secret = cluster.core.read_namespaced_secret(RELEASE_NAME, cluster.namespace)
    decode = {"DATABASE_URL": "", "SECRET_KEY": ""}
    for name in decode:
        command = ("get", "secret", secret.metadata.name)
        template = "{{index .data " + f'"{name}"' + " | base64decode}}"
        decode[name] = cluster.kubectl(*command, f"--output=go-template={template}")
    proxied = decode["DATABASE_URL"].replace("@postgres:5432", "@127.0.0.1:6432")
    assert proxied != decode["DATABASE_URL"]
    settings = {**decode, "DATABASE_URL": proxied}
    cluster.apply(manifests.secret("proxied", **settings))
    image = web.pods()[0].spec.containers[0].image
    sidecar = {
        "name": "database-proxy",
        "image": image,
        "restartPolicy": "Always",
        "command": ["python", "-c", PROXY],
        "startupProbe": {
            "exec": {
                "command": [
                    "python",
                    "-c",
                    "import socket; socket.create_connection(('127.0.0.1', 6432))",
                ]
            },
            "periodSeconds": 1,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    with web.load() as load:
        load.more(50)
        web.upgrade(existingSecret="proxied", initContainers=[sidecar])
        web.settle()
        load.more(50)
    record("Change to a database proxy, 50 requests per second", **load.results.figures())
    assert load.results.is_served, load.results.outcomes


def test_helm_4_upgrades_a_release_of_helm_3_and_keeps_the_replicas(cluster, web, tmp_path):
    helm4 = helm_program(4)
    web.upgrade(autoscaling={"minReplicas": 3})
    wait_for(lambda: sum(map(is_ready, web.pods())) == 3, "a third pod")
    uids = {pod.metadata.uid for pod in web.pods()}
    values = cluster.helm("get", "values", RELEASE_NAME, "--output=yaml").stdout
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(yaml.safe_load(values)))
    command = [*helm4, "--namespace", cluster.namespace, "upgrade", RELEASE_NAME, web.chart]
    done = subprocess.run(
        [*command, "--values", tmp_path / "values.yaml", "--wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert {pod.metadata.uid for pod in web.pods()} == uids
