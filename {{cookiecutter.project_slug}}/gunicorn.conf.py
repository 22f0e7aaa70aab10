"""gunicorn's settings: `gunicorn` without arguments, in this folder, serves the service."""

import atexit
import gc
import itertools
import os
import platform
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{{ cookiecutter.project_slug }}.settings")

# Workers share their metrics through files here; prometheus_client reads the name when imported.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    _metrics, _arbiter = tempfile.mkdtemp(prefix="metrics-"), os.getpid()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics

    @atexit.register
    def _remove_metrics() -> None:
        if os.getpid() == _arbiter:  # workers end too
            shutil.rmtree(_metrics, ignore_errors=True)


from {{ cookiecutter.project_slug }}.runtime.logging import boot

boot.load_settings("{{ cookiecutter.__kubernetes_name }}", stream="stdout")

import django  # noqa: E402 - from here on, whatever fails is logged
from django.conf import settings  # noqa: E402

wsgi_app = "{{ cookiecutter.project_slug }}.wsgi:application"
_ipv6 = ":" in settings.HOST
bind = f"[{settings.HOST}]:{settings.PORT}" if _ipv6 else f"{settings.HOST}:{settings.PORT}"
# Django itself reads what proxies say, where NUM_PROXIES says that there are any.
forwarded_allow_ips = ""
worker_class = "gthread"
# Without Redis each worker would count and cache for itself.
workers = settings.WEB_CONCURRENCY if settings.REDIS_URL else 1
threads = settings.WEB_THREADS
graceful_timeout = settings.GRACEFUL_TIMEOUT
keepalive = 75  # longer than a proxy keeps an idle connection, so that the proxy closes it first
preload_app = True
# Workers' heartbeats are files: on a disk they would stop when it stalls.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
control_socket_disable = True
logger_class = "{{ cookiecutter.project_slug }}.runtime.logging.gunicorn.Logger"
accesslog = "-"


def on_starting(server: Any) -> None:
    """Refuse to start with what Django's checks find, or on a busy operations port.

    Checks do not run under gunicorn by themselves, and workers would silently share the port.
    """
    from django.core.checks import run_checks
    from django.core.exceptions import ImproperlyConfigured

    from {{ cookiecutter.project_slug }}.runtime.security_headers import omit_server_header

    omit_server_header()
    try:
        messages = run_checks()
    except ImproperlyConfigured as error:  # of a backend, which a check of Django's creates
        boot.fail(str(error))
    if errors := [m for m in messages if m.is_serious() and not m.is_silenced()]:
        boot.fail("\n".join(f"{error.id}: {error.msg}" for error in errors))
    if not settings.DEBUG and not (settings.STATIC_ROOT / "staticfiles.json").exists():
        boot.fail("While DEBUG is off, `manage.py collectstatic --noinput` has to run first.")
    with socket.socket(socket.AF_INET6 if _ipv6 else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.HOST, settings.OPS_PORT))
        except OSError as error:
            boot.fail(f"OPS_PORT: {settings.OPS_PORT} is not free: {error.strerror}.")


def when_ready(server: Any) -> None:
    """Keep what was loaded out of the collector, so that workers share its memory."""
    if not settings.REDIS_URL:
        server.log.warning(
            "REDIS_URL is not set: cache and throttles live in this one process and cacheops is"
            " off, which is for development only."
        )
    from {{ cookiecutter.project_slug }}.runtime.logging import log_event

    log_event(
        "started",
        {
            "python": platform.python_version(),
            "django": django.__version__,
            "workers": workers,
            "threads": threads,
            "port": settings.PORT,
            "ops_port": settings.OPS_PORT,
        },
    )
    gc.collect()
    gc.freeze()


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker the first place that no other has."""
    from {{ cookiecutter.project_slug }}.runtime.metrics import next_slot

    taken = {getattr(other, "slot", None) for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in itertools.count(1) if slot not in taken)
    next_slot(f"worker-{worker.slot}")


def post_worker_init(worker: Any) -> None:
    """Answer probes from each worker."""
    from {{ cookiecutter.project_slug }}.runtime import ops

    ops.start(
        settings.HOST,
        settings.OPS_PORT,
        threads=worker.cfg.threads,
        draining=lambda: not worker.alive,
    )


def on_exit(server: Any) -> None:
    """Say that all is done."""
    from {{ cookiecutter.project_slug }}.runtime.logging import log_event

    log_event("stopped", {})


def child_exit(server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that is gone."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(f"worker-{worker.slot}")
