"""gunicorn's logger: the same handlers and JSON lines as the rest of the service."""

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils.log import configure_logging
from gunicorn.glogging import Logger as GunicornLogger


class Logger(GunicornLogger):
    """Routes gunicorn's error and access logs through Django's LOGGING."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
        logging.captureWarnings(True)
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log one answered request, with OpenTelemetry's names for its fields."""
        status = int(str(resp.status).split(None, 1)[0])
        fields = {
            "http.request.method": environ.get("REQUEST_METHOD"),
            "url.path": environ.get("PATH_INFO"),
            "http.response.status_code": status,
            "duration_ms": round(request_time.total_seconds() * 1000, 1),
            "http.response.body.size": getattr(resp, "sent", None),
            "client.address": environ.get("REMOTE_ADDR"),
            "user_agent.original": environ.get("HTTP_USER_AGENT"),
            "request_id": environ.get("request_id"),
            "uid": environ.get("user_id") or None,
        }
        self.access_log.info(
            "%s %s %s",
            fields["http.request.method"],
            fields["url.path"],
            status,
            extra={name: value for name, value in fields.items() if value is not None},
        )
