"""gunicorn's logger, which uses the handlers of Django's LOGGING."""

import logging
from datetime import timedelta
from typing import Any

from django.utils.log import configure_logging
from gunicorn.glogging import Logger as GunicornLogger

from ..client_address import forwarded_address
from ..conf import settings
from ..logging.context import NONE, current
from ..logging.formatter import AccessRecord
from ..logging.values import plain, text


class Logger(GunicornLogger):
    """Route gunicorn's error and access logs through Django's LOGGING."""

    def setup(self, cfg: Any) -> None:
        """Configure logging as the settings say, instead of gunicorn's handlers."""
        self.cfg = cfg
        configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True

    def reopen_files(self) -> None:
        """Do nothing: there are no files."""

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log one request, with OpenTelemetry's names for its fields."""
        if not self.access_log.isEnabledFor(logging.INFO):
            return
        method, path = environ.get("REQUEST_METHOD"), environ.get("PATH_INFO", "")
        status = getattr(resp, "status_code", 0)
        fields = {
            "http.request.method": method,
            "url.path": text(path),
            "http.response.status_code": status,
            "duration_ms": round(request_time.total_seconds() * 1000, 1),
            "http.response.body.size": getattr(resp, "sent", None),
            "client.address": str(forwarded_address(environ) or environ.get("REMOTE_ADDR", "")),
        }
        if agent := environ.get("HTTP_USER_AGENT"):
            fields["user_agent.original"] = text(agent)
        if user := environ.get("log.uid"):
            fields["uid"] = plain(user)
        log = self.access_log
        record = AccessRecord(log.name, (method, path, status), fields)
        token = current.set(environ.get("log.context", NONE))
        try:
            log.handle(record)
        finally:
            current.reset(token)
