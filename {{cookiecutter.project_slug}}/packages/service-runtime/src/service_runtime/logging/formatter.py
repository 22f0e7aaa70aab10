"""Formats every log record as one JSON object on one line."""

import json
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pythonjsonlogger.json import JsonFormatter as BaseJsonFormatter

from . import context
from .context import current, get_current_user_id
from .options import METHODS, reject
from .traces import shown, trace_of
from .values import MAX_ITEMS, inert, plain, shortened, text

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


_HOOKS = (
    *("format", "add_fields", "process_log_record", "serialize_log_record", "jsonify_log_record"),
    *("formatTime", "formatException", "formatStack"),
)


class JsonFormatter(BaseJsonFormatter):
    """The fields of docs/logging.md, in a fixed order, then whatever `extra` has.

    A subclass may override python-json-logger's hooks: what they add is redacted and bounded too.

    Args:
        service: the service's name.
        version: its version.
        names: other names for fields, such as `{"timestamp": "@timestamp"}`.
        rename_fields: the same, as python-json-logger calls it.
        static_fields: fields of every line.
        defaults: fields of every line that has none of this name.
        options: exc_info_as_array and stack_info_as_array.

    Raises:
        TypeError: an option, or a method of a subclass, has no meaning here; says what has.
    """

    _overrides: frozenset[str] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in METHODS:
            if getattr(cls, name) is not getattr(BaseJsonFormatter, name):
                raise TypeError(f"{cls.__name__}.{name} would not be called: {METHODS[name]}.")
        cls._overrides = frozenset(
            name for name in _HOOKS if getattr(cls, name) is not getattr(JsonFormatter, name)
        )

    def __init__(
        self,
        service: str,
        version: str,
        names: Mapping[str, str] | None = None,
        *,
        rename_fields: Mapping[str, str] | None = None,
        static_fields: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        reject(options, rename_fields or {})
        self._names = {**(names or {}), **(rename_fields or {})}
        self._renamed = frozenset(self._names.values())
        super().__init__(
            rename_fields=self._names,
            static_fields=dict(static_fields or {}),
            defaults=dict(defaults or {}),
            **options,
        )
        # Made once: json.dumps makes one for each call that asks for something of its own. What is
        # plain holds nothing that holds itself.
        self._encode = json.JSONEncoder(
            default=text, ensure_ascii=False, allow_nan=False, check_circular=False
        ).encode
        self._fallback = JsonFormatter(service, version, self._names) if self._overrides else self
        self._adds_nothing = not self._overrides and not self.defaults
        self._second = (0, "")
        self._static = {"service": service, "version": version, **plain(self.static_fields)}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a record that cannot be formatted becomes a line that says so."""
        if isinstance(record, AccessRecord) and self._adds_nothing:
            return self.serialize_log_record(
                self._fields(record, record.getMessage()) | record.fields
            )
        try:
            # What the base class does, without what add_fields does not need.
            if record.args:
                record.args = inert(record.args)
            if isinstance(record.msg, dict):
                message_dict, record.message = dict(record.msg), ""
            else:
                message_dict, record.message = {}, record.getMessage()
            log_data = self._fields(record, record.message)
            if self._overrides:
                return self._hooked(log_data, record, message_dict)
            self.add_fields(log_data, record, message_dict)
            return self.serialize_log_record(log_data)
        except Exception as error:  # a log line must not break the request that wrote it
            fields = self._fields(record, text(record.msg))
            fields["logging_error"] = f"{type(error).__name__}: {text(error, 500)}"
            if record.args:
                fields["logging_arguments"] = plain(record.args)
            return JsonFormatter.serialize_log_record(self._fallback, fields)

    def _hooked(self, log_data: Any, record: logging.LogRecord, message_dict: Any) -> str:
        """Return the line that a subclass' hooks make, of which nothing is plain yet."""
        if "formatTime" in self._overrides:
            log_data["timestamp"] = self.formatTime(record, self.datefmt)
        self.add_fields(log_data, record, message_dict)
        log_data = self.process_log_record(log_data)
        return self.serialize_log_record({k: plain(v, k) for k, v in log_data.items()})

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Add what is not in every line: the user, an exception, the stack, and `extra`."""
        if user_id := get_current_user_id():
            log_data["uid"] = plain(user_id)
        if record.exc_info and record.exc_info[1] is not None:
            kind, error = type(record.exc_info[1]), record.exc_info[1]
            log_data["exception.type"] = f"{kind.__module__}.{kind.__qualname__}"
            log_data["exception.message"] = text(error)
            log_data["exception.stacktrace"] = plain(self.formatException(record.exc_info))
        elif record.exc_text:  # of a record from another process
            log_data["exception.stacktrace"] = text(record.exc_text)
        if record.stack_info:
            log_data["stack_info"] = plain(self.formatStack(record.stack_info))
        if isinstance(record, AccessRecord):
            extra = record.fields
        else:
            extra = {name: value for name, value in record.__dict__.items() if name not in _OWN}
        if message_dict:
            extra = message_dict | extra
        if len(extra) > MAX_ITEMS:
            extra = dict(islice(extra.items(), MAX_ITEMS)) | {
                "...": f"{len(extra) - MAX_ITEMS} more"
            }
        for key, value in extra.items():
            name = key if type(key) is str and len(key) <= 100 else text(key, 100)
            # What a record brings along must not take the place of what every line has.
            is_taken = name in log_data or name in self._renamed
            log_data[f"extra.{name}" if is_taken else name] = plain(value, name)
        if self.defaults:
            for name, value in self.defaults.items():
                log_data.setdefault(name, plain(value, name))

    def serialize_log_record(self, log_data: dict[str, Any]) -> str:
        if self._names:
            names = self._names
            log_data = {names.get(name, name): value for name, value in log_data.items()}
        line = self._encoded(log_data)
        return line if len(line) <= MAX_BYTES // 4 else self._bounded(line, log_data)

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return fields that are plain as JSON."""
        return self._encode(log_data)

    def formatException(self, ei: Any) -> Any:  # noqa: N802
        """Return an exception's trace, which has no local variables, without secrets."""
        return shown(trace_of(ei[1]), as_lines=self.exc_info_as_array)

    def formatStack(self, stack_info: str) -> Any:  # noqa: N802
        """Return the stack of a call of the logger, without secrets."""
        return shown(text(stack_info, code=True), as_lines=self.stack_info_as_array)

    def _encoded(self, log_data: dict[str, Any]) -> str:
        line = self.jsonify_log_record(log_data)
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
