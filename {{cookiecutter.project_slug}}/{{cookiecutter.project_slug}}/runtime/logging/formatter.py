"""Formats every log record as one JSON object on one line."""

import json
import logging
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pythonjsonlogger.json import JsonFormatter as BaseJsonFormatter

from . import context
from .context import current, get_current_user_id
from .values import MAX_ITEMS, MAX_TEXT, inert, plain, shortened, text

MAX_BYTES = 16 * 1024 - 1  # with the line's end 16 KiB, which every collector takes
MIN_TEXT = 100  # to which fields are shortened before any is left out
_OWN = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "exc_text", "request"})


class AccessRecord(logging.LogRecord):
    """The record of a request, with fields that are plain already, and nothing else to show.

    There is one for each request, so what is the same in all of them is found out only once.
    """

    _SAME = vars(logging.LogRecord("", logging.INFO, __file__, 0, "%s %s %s", (), None))

    def __init__(self, name: str, args: tuple[Any, ...], fields: dict[str, Any]) -> None:
        now = time.time()
        self.__dict__.update(self._SAME, name=name, args=args, created=now, msecs=now % 1 * 1000)
        self.fields = fields


class JsonFormatter(BaseJsonFormatter):
    """The fields of docs/logging.md, in a fixed order, then whatever `extra` has.

    Args:
        service: the service's name.
        version: its version.
        names: other names for fields, such as `{"timestamp": "@timestamp"}`.
    """

    def __init__(self, service: str, version: str, names: Mapping[str, str] | None = None) -> None:
        super().__init__()
        # Made once: json.dumps makes one for each call that asks for something of its own. What is
        # plain holds nothing that holds itself.
        self._encode = json.JSONEncoder(
            default=text, ensure_ascii=False, allow_nan=False, check_circular=False
        ).encode
        self._second = (0, "")
        self._static = {"service": service, "version": version}
        self._names = dict(names or {})
        self._renamed = frozenset(self._names.values())

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a record that cannot be formatted becomes a line that says so."""
        if isinstance(record, AccessRecord):
            return self.serialize_log_record(
                self._fields(record, record.getMessage()) | record.fields
            )
        try:
            # What the base class does, without what add_fields does not need.
            if record.args:
                record.args = inert(record.args)
            record.message = "" if isinstance(record.msg, dict) else record.getMessage()
            log_data = self._fields(record, record.message)
            self.add_fields(log_data, record, {})
            return self.serialize_log_record(log_data)
        except Exception as error:  # a log line must not break the request that wrote it
            fields = self._fields(record, text(record.msg))
            fields["logging_error"] = f"{type(error).__name__}: {text(error, 500)}"
            if record.args:
                fields["logging_arguments"] = plain(record.args)
            return self.serialize_log_record(fields)

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Add what is not in every line: the user, an exception, the stack, and `extra`."""
        if user_id := get_current_user_id():
            log_data["uid"] = plain(user_id)
        if record.exc_info and record.exc_info[1] is not None:
            log_data.update(_exception(record.exc_info[1]))
        if record.stack_info:
            log_data["stack_info"] = text(record.stack_info)
        extra = {name: value for name, value in record.__dict__.items() if name not in _OWN}
        if isinstance(record.msg, dict):
            extra = record.msg | extra
        if len(extra) > MAX_ITEMS:
            extra = dict(islice(extra.items(), MAX_ITEMS)) | {
                "...": f"{len(extra) - MAX_ITEMS} more"
            }
        for key, value in extra.items():
            name = key if type(key) is str and len(key) <= 100 else text(key, 100)
            # What a record brings along must not take the place of what every line has.
            is_taken = name in log_data or name in self._renamed
            log_data[f"extra.{name}" if is_taken else name] = plain(value, name)

    def serialize_log_record(self, log_data: dict[str, Any]) -> str:
        if self._names:
            names = self._names
            log_data = {names.get(name, name): value for name, value in log_data.items()}
        line = self._encoded(log_data)
        return line if len(line) <= MAX_BYTES // 4 else self._bounded(line, log_data)

    def _encoded(self, log_data: dict[str, Any]) -> str:
        line = self._encode(log_data)
        # A lone surrogate is no UTF-8, and would be lost with its line when that is written.
        return line.encode("utf-8", "backslashreplace").decode() if not line.isascii() else line

    def _bounded(self, line: str, log_data: dict[str, Any]) -> str:
        """Return a line within MAX_BYTES: the largest fields are shortened, and named as such."""
        if len(line.encode()) <= MAX_BYTES:
            return line
        whole = {name: self._encoded({name: value}) for name, value in log_data.items()}
        limit = MAX_BYTES
        while len(line.encode()) > MAX_BYTES and limit > MIN_TEXT:
            limit = max(limit * 2 // 3, MIN_TEXT)
            cut = [name for name, encoded in whole.items() if len(encoded) > limit]
            shown = {name: shortened(_text_of(log_data[name]), limit // 2) for name in cut}
            line = self._encoded({**log_data, **shown, "truncated": cut[:10]})
        if len(line.encode()) > MAX_BYTES:  # by the names of fields: those of every line come first
            first = dict(islice({**log_data, **shown}.items(), 10))
            line = self._encoded({**first, "truncated": [f"{len(log_data) - 10} fields"]})
        return line

    def _fields(self, record: logging.LogRecord, message: str) -> dict[str, Any]:
        second = int(record.created)
        if second != self._second[0]:
            self._second = (second, datetime.fromtimestamp(second, UTC).isoformat()[:19])
        fields = {
            "timestamp": f"{self._second[1]}.{int(record.msecs):03d}Z",
            "severity": record.levelname,
            "logger": record.name,
            "message": text(message),
            **self._static,
        }
        now = current.get()
        if now.request_id:
            fields["request_id"] = now.request_id
        if now.run_id:
            fields["run_id"] = now.run_id
        trace_id, span_id = context.span_ids() or (now.trace_id, now.span_id)
        if trace_id and span_id:
            fields["trace_id"], fields["span_id"] = trace_id, span_id
        return fields


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=text, ensure_ascii=False)


def _exception(error: BaseException) -> dict[str, str]:
    """Return an exception's fields; local variables are never among them."""
    kind = type(error)
    return {
        "exception.type": f"{kind.__module__}.{kind.__qualname__}",
        "exception.message": text(error),
        "exception.stacktrace": text("".join(traceback.format_exception(error)), MAX_TEXT),
    }
