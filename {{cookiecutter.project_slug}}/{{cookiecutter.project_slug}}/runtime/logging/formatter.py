"""Formats every log record as one JSON object on one line."""

import json
import logging
import traceback
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any

from django.db.models import Model, QuerySet
from pythonjsonlogger.json import JsonFormatter as BaseJsonFormatter

from .context import get_current_user_id, request_id


def _plain(value: Any) -> Any:
    """Return something that JSON can express for a value that it cannot; never run a query."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Model):
        return f"{value._meta.label}(pk={value.pk})"
    if isinstance(value, QuerySet):
        return f"QuerySet({value.model._meta.label})"
    if isinstance(value, set | frozenset):
        return list(value)
    return str(value)


class JsonFormatter(BaseJsonFormatter):
    """The fields of docs/logging.md, in a fixed order, then whatever `extra` has."""

    def __init__(self, service: str, version: str) -> None:
        # NaN and Infinity are not JSON, whatever Python says.
        strict = partial(json.dumps, allow_nan=False)
        super().__init__(json_default=_plain, json_ensure_ascii=False, json_serializer=strict)
        self._static = {"service": service, "version": version}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a record that cannot be formatted becomes a line that says so."""
        try:
            line = super().format(record)
            # A lone surrogate is no UTF-8, and would be lost with its line when that is written.
            return line.encode("utf-8", "backslashreplace").decode()
        except Exception as error:  # a log line must not break the request that wrote it
            fields = self._fields(record, f"{record.msg!s:.2000}")
            fields["logging_error"] = f"{type(error).__name__}: {error!s:.500}"
            return json.dumps(fields)

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        log_data.update(self._fields(record, record.message))
        if user_id := get_current_user_id():
            log_data["uid"] = user_id
        message_dict.pop("exc_info", None)
        if record.exc_info and record.exc_info[0]:
            kind, error, _ = record.exc_info
            log_data["exception.type"] = f"{kind.__module__}.{kind.__qualname__}"
            log_data["exception.message"] = str(error)
            log_data["exception.stacktrace"] = "".join(traceback.format_exception(error))
        super().add_fields(log_data, record, message_dict)
        # Django passes the request along with its records; the context says more, and in JSON.
        log_data.pop("request", None)

    def _fields(self, record: logging.LogRecord, message: str) -> dict[str, Any]:
        timestamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {
            "timestamp": timestamp.replace("+00:00", "Z"),
            "severity": record.levelname,
            "logger": record.name,
            "message": message,
            **self._static,
        }
        if current := getattr(record, "request_id", None) or request_id.get():
            fields["request_id"] = current
        return fields
