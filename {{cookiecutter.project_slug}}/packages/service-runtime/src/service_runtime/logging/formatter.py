"""Format every log record as one JSON object on one line."""

import json
import logging
import time
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter as BaseJsonFormatter

from . import context
from .bounds import MAX_BYTES, Encode, bounded
from .context import current, get_current_user_id
from .traces import format_trace, shown
from .values import MAX_ITEMS, inert, plain, text

# Created once: json.dumps, which python-json-logger calls, would create one for each record.
_encode = json.JSONEncoder(
    default=text, ensure_ascii=False, allow_nan=False, check_circular=False
).encode

_PLAIN_SIZE = len(vars(logging.makeLogRecord({"message": ""})))  # attributes of a record
_OPTIONS = {
    *("rename_fields", "static_fields", "defaults", "exc_info_as_array", "stack_info_as_array")
}


class AccessRecord(logging.LogRecord):
    """The record of a request, whose fields are plain values already.

    There is one for each request, so the attributes that all of them share are computed once.
    """

    _SHARED = vars(logging.LogRecord("", logging.INFO, __file__, 0, "%s %s %s", (), None))

    def __init__(self, name: str, args: tuple[Any, ...], fields: dict[str, Any]) -> None:
        now = time.time()
        self.__dict__.update(self._SHARED, name=name, args=args, created=now, msecs=now % 1 * 1000)
        self.fields = fields


class JsonFormatter(BaseJsonFormatter):
    """python-json-logger with the fields of docs/logging.md in a fixed order, then `extra`.

    Subclasses can override python-json-logger's hooks; the fields they add are redacted and bounded
    too.

    Args:
        service: the service's name.
        version: its version.
        options: python-json-logger's rename_fields (such as `{"timestamp": "@timestamp"}`),
            static_fields, defaults, exc_info_as_array and stack_info_as_array.

    Raises:
        TypeError: an option of python-json-logger, or a method of a subclass, has no effect here;
            the message names the replacement.
    """

    _reserved = frozenset({*RESERVED_ATTRS, "request"})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("parse", "formatMessage"):
            if getattr(cls, name) is not getattr(BaseJsonFormatter, name):
                raise TypeError(
                    f"{cls.__name__}.{name} would not be called: there is no format string."
                    " Override process_log_record or add_fields."
                )

    def __init__(self, service: str, version: str, **options: Any) -> None:
        for option in options.keys() - _OPTIONS:
            raise TypeError(
                f"JsonFormatter has no option {option!r}: use rename_fields, static_fields or"
                " defaults, or override formatTime, process_log_record or jsonify_log_record."
            )
        static_fields = plain(options.pop("static_fields", None) or {})
        super().__init__(
            static_fields={"service": service, "version": version, **static_fields}, **options
        )
        for name in self._reserved.intersection(self.rename_fields) - {"message", "stack_info"}:
            raise TypeError(
                f"rename_fields: a line has no field {name!r}. It has timestamp, severity, logger,"
                " message, exception.stacktrace and the others of docs/logging.md."
            )
        self._renamed = frozenset(self.rename_fields.values())
        self._is_unchanged = type(self) is JsonFormatter and not self.defaults
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; of a record that cannot be formatted, one with `logging_error`."""
        if isinstance(record, AccessRecord) and self._is_unchanged:  # the most frequent one
            fields = self._fields({}, record, self.formatTime(record), record.getMessage())
            return self._line(fields | record.fields, _encode)
        try:
            if record.args:
                record.args = inert(record.args)
            return super().format(record)
        except Exception as error:  # a log line must not break the request that wrote it
            time_of_record = JsonFormatter.formatTime(self, record)
            fields = self._fields({}, record, time_of_record, record.msg)
            fields["logging_error"] = f"{type(error).__name__}: {text(error, 500)}"
            if record.args:
                fields["logging_arguments"] = plain(record.args)
            return self._line(fields, _encode)

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Add the fields of every line, the user, an exception, the stack, and `extra`."""
        self._fields(log_data, record, self.formatTime(record, self.datefmt), record.message)
        extra = message_dict
        if isinstance(record, AccessRecord):
            log_data.update(record.fields)
        else:
            if user_id := get_current_user_id():
                log_data["uid"] = plain(user_id)
            if trace := message_dict.pop("exc_info", None):
                if record.exc_info and (error := record.exc_info[1]):
                    kind = type(error)
                    log_data["exception.type"] = f"{kind.__module__}.{kind.__qualname__}"
                    log_data["exception.message"] = text(error)
                log_data["exception.stacktrace"] = plain(trace)
            attributes, reserved = vars(record), self._reserved
            if len(attributes) != _PLAIN_SIZE:  # most records have no extra fields
                extra |= {k: value for k, value in attributes.items() if k not in reserved}
        if extra:
            self._add_extra(log_data, extra)
        for name, value in self.defaults.items():
            log_data.setdefault(name, plain(value, name))

    def _add_extra(self, log_data: dict[str, Any], extra: dict[str, Any]) -> None:
        if len(extra) > MAX_ITEMS:
            first = dict(islice(extra.items(), MAX_ITEMS))
            extra = {**first, "...": f"{len(extra) - MAX_ITEMS} more"}
        for key, value in extra.items():
            name = key if type(key) is str and len(key) <= 100 else text(key, 100)
            # A record's own fields must not replace those of every line.
            is_taken = name in log_data or name in self._renamed
            log_data[f"extra.{name}" if is_taken else name] = plain(value, name)

    def _fields(
        self, fields: dict[str, Any], record: logging.LogRecord, timestamp: str, message: object
    ) -> dict[str, Any]:
        """Add the fields of every line, and return them."""
        fields["timestamp"], fields["severity"] = timestamp, record.levelname
        fields["logger"], fields["message"] = record.name, text(message)
        fields.update(self.static_fields)
        now = current.get()
        if now.request_id:
            fields["request_id"] = now.request_id
        if now.run_id:
            fields["run_id"] = now.run_id
        trace_id, span_id = context.span_ids() or (now.trace_id, now.span_id)
        if trace_id and span_id:
            fields["trace_id"], fields["span_id"] = trace_id, span_id
        return fields

    def serialize_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the fields as a line within the bounds."""
        if type(self) is not JsonFormatter:  # the hooks of a subclass can add anything
            log_data = {name: plain(value, name) for name, value in log_data.items()}
        return self._line(log_data, self.jsonify_log_record)

    def _line(self, fields: dict[str, Any], encode: Encode) -> str:
        if names := self.rename_fields:
            fields = {names.get(name, name): value for name, value in fields.items()}
        line = encode(fields)
        is_short = len(line) <= MAX_BYTES and line.isascii()
        return line if is_short else bounded(line, fields, encode)

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return plain fields as JSON."""
        return _encode(log_data)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the record's time in UTC, as RFC 3339 writes it, with milliseconds."""
        second = int(record.created)
        if second != self._second[0]:  # records of one second share the rest
            self._second = (second, datetime.fromtimestamp(second, UTC).isoformat()[:19])
        return "%s.%03dZ" % (self._second[1], record.msecs)  # noqa: UP031 - the fastest

    def formatException(self, ei: Any) -> Any:  # noqa: N802
        """Return an exception's stack trace, without local variables and secrets."""
        return shown(format_trace(ei[1]), as_lines=self.exc_info_as_array) if ei[1] else ""

    def formatStack(self, stack_info: str) -> Any:  # noqa: N802
        """Return the stack of a call of the logger, without secrets."""
        return shown(text(stack_info, code=True), as_lines=self.stack_info_as_array)
