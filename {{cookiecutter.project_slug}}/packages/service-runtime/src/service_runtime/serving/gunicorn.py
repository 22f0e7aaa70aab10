"""gunicorn's settings and hooks, for a service's gunicorn.conf.py:

from service_runtime.serving import gunicorn

globals().update(gunicorn.configuration("my-service"))
wsgi_app = "my_service.wsgi:application"
"""

import atexit
import gc
import inspect
import itertools
import logging
import os
import pkgutil
import platform
import resource
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ..conf import settings
from . import ports

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - files in it do not wait for a disk
UNSUPPORTED = ("certfile", "keyfile", "proxy_protocol", "http2_cleartext")  # by the worker
OTHER_DESCRIPTORS = 200  # libraries, the database, Redis, metrics
HOOKS = ("on_starting", "when_ready", "pre_fork", "post_worker_init", "child_exit", "on_exit")


def configuration(service: str) -> dict[str, Any]:
    """Return gunicorn's settings and hooks for the service of DJANGO_SETTINGS_MODULE.

    It also turns everything that the process prints into log lines.

    Args:
        service: the service's name in log lines until the settings are loaded.

    Raises:
        SystemExit: the settings are invalid; the reasons have been logged.
    """
    _share_metrics()
    from ..logging import boot

    boot.load_settings(service, stream="stdout")
    return {
        "bind": ports.bind(),
        # Django reads the proxies' headers, as NUM_PROXIES says.
        "forwarded_allow_ips": "",
        "worker_class": _worker_class(),
        # Without Redis, caches and throttles are local to a worker.
        "workers": settings.WEB_CONCURRENCY if settings.REDIS_URL else 1,
        "threads": settings.WEB_THREADS,
        "graceful_timeout": settings.GRACEFUL_TIMEOUT,
        # Longer than that of proxies, so that the proxy closes an idle connection first.
        "keepalive": 75,
        "preload_app": True,
        # Heartbeats are files; on a disk that stalls they would stop.
        "worker_tmp_dir": _memory_folder(),
        # The kernel would send a file without the limit of `connection.Socket`.
        "sendfile": False,
        "control_socket_disable": True,
        "logger_class": f"{__package__}.logger.Logger",
        "accesslog": "-",
        **{name: globals()[name] for name in HOOKS},
    }


def _worker_class() -> str:
    """Return the runtime's class, or gthread if this release of gunicorn is not like the known."""
    try:
        from .contract import GUNICORN
        from .worker import Worker

        for path, parameters in GUNICORN.items():
            if [*inspect.signature(pkgutil.resolve_name(path)).parameters] != parameters.split():
                return "gthread"
    except (ImportError, AttributeError):
        return "gthread"
    return f"{Worker.__module__}.{Worker.__name__}"


def _share_metrics() -> None:
    """Create the folder in which workers share metrics, and remove it at exit.

    It comes first, since prometheus_client reads the variable when it is imported.
    """
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return
    # Not next to the bodies of requests: a write to a mapped file on a full disk ends the process.
    parent, arbiter = Path(_memory_folder() or tempfile.gettempdir()), os.getpid()
    folder = parent / f"metrics-{os.getuid()}-{arbiter}"
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir(mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)

    @atexit.register
    def remove() -> None:
        if os.getpid() == arbiter:  # workers exit too
            shutil.rmtree(folder, ignore_errors=True)


def _memory_folder() -> str | None:
    return SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None


def on_starting(server: Any) -> None:
    """Log Django's checks; exit on their errors, or if a port is in use.

    gunicorn does not run the checks, and workers would share a port in use without an error.
    """
    from django.core.checks import WARNING, run_checks
    from django.core.exceptions import ImproperlyConfigured

    from ..logging import boot

    for name in UNSUPPORTED:
        if getattr(server.cfg, name, None) not in {None, "off"}:
            boot.fail(f"gunicorn.conf.py: {name} is not supported. A proxy in front can do it.")
    _omit_server_header()
    _raise_descriptor_limit(server.cfg.worker_connections)
    try:
        messages = [message for message in run_checks() if not message.is_silenced()]
    except ImproperlyConfigured as error:  # of a backend that a check creates
        boot.fail(str(error))
    for warning in [m for m in messages if m.level == WARNING]:
        logging.getLogger("boot").warning("%s: %s", warning.id, warning.msg)
    if errors := [m for m in messages if m.is_serious()]:
        boot.fail("\n".join(f"{error.id}: {error.msg}" for error in errors))
    if not settings.DEBUG and not (settings.STATIC_ROOT / "staticfiles.json").exists():
        boot.fail("Run `manage.py collectstatic --noinput` first: DEBUG is off.")
    if lines := ports.errors(server.cfg.bind):
        boot.fail("\n".join(lines))


def _raise_descriptor_limit(connections: int) -> None:
    """Allow as many file descriptors as a worker needs, if the hard limit does.

    Each connection has one, and another one while it sends a long body.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * connections + OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _omit_server_header() -> None:
    """Omit the Server header from responses. gunicorn has no setting for it."""
    from gunicorn.http import wsgi

    response: Any = wsgi.Response
    default_headers = response.default_headers

    def without_server(self: Any) -> list[str]:
        return [line for line in default_headers(self) if not line.startswith("Server:")]

    response.default_headers = without_server


def when_ready(server: Any) -> None:
    """Announce the start, and freeze loaded objects, so that workers share their memory."""
    import django
    import gunicorn

    # Before the fork, since workers share memory of both modules.
    from ..logging import log_event
    from ..ops import health  # noqa: F401
    from . import memory, urls  # noqa: F401

    if not settings.REDIS_URL:
        server.log.warning(
            "REDIS_URL is not set: the cache and the throttles are local to this process, and"
            " cacheops is off. Use this for development only."
        )
    if server.cfg.worker_class_str == "gthread":
        server.log.warning(
            "The runtime does not know gunicorn %s: slow clients can occupy all request threads."
            " Install the release that the runtime requires.",
            gunicorn.__version__,
        )
    log_event(
        "started",
        {
            "python": platform.python_version(),
            "django": django.__version__,
            "workers": server.cfg.workers,
            "threads": server.cfg.threads,
            "port": settings.PORT,
            "ops_port": settings.OPS_PORT,
        },
    )
    if settings.DEBUG:
        urls.show()
    gc.collect()
    gc.freeze()


def pre_fork(server: Any, worker: Any) -> None:
    """Assign the first free metrics slot to the worker, and close database connections."""
    from django.db import connections

    from ..metrics import next_slot

    connection: Any
    for connection in connections.all(initialized_only=True):
        connection.close()
        if getattr(connection, "pool", None):
            connection.close_pool()
    taken = {getattr(other, "slot", None) for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in itertools.count(1) if slot not in taken)
    next_slot(f"worker-{worker.slot}")


def post_worker_init(worker: Any) -> None:
    """Serve the operations port from the worker, and observe its memory."""
    from ..ops import server
    from . import memory

    memory.set_started(worker.pid)
    memory.start(worker)
    server.start(
        settings.HOST,
        settings.OPS_PORT,
        threads=worker.cfg.threads,
        # A worker that is replaced alone does not make its pod unready.
        draining=lambda: not worker.alive and not memory.is_replaced(),
    )


def child_exit(server: Any, worker: Any) -> None:
    """Remove the gauges of a worker that has exited."""
    from prometheus_client.multiprocess import mark_process_dead

    from . import memory

    if memory.was_replaced(worker.pid):  # there is one worker more than configured
        server.num_workers = server.cfg.workers
    mark_process_dead(f"worker-{worker.slot}")


def on_exit(server: Any) -> None:
    """Log that the service has stopped."""
    from ..logging import log_event

    log_event("stopped", {})
