"""python-json-logger's options that do not fit lines of fixed fields, and what does instead."""

from collections.abc import Iterable

OPTIONS = {
    "fmt": "the fields are those of docs/logging.md; add others with static_fields or add_fields",
    "datefmt": "override formatTime",
    "style": "there is no format string",
    "validate": "there is no format string",
    "prefix": "a line is JSON alone; add a field with static_fields",
    "rename_fields_keep_missing": "add empty fields with defaults",
    "reserved_attrs": "remove fields in process_log_record",
    "timestamp": "every line has `timestamp`; rename it with rename_fields",
    "json_default": "convert the values before they are logged, or override jsonify_log_record",
    "json_encoder": "override jsonify_log_record",
    "json_serializer": "override jsonify_log_record",
    "json_indent": "a record is one line",
    "json_ensure_ascii": "lines are UTF-8; override jsonify_log_record",
}
NAMES = {
    "levelname": "severity",
    "name": "logger",
    "asctime": "timestamp",
    "exc_info": "exception.stacktrace",
}
METHODS = {
    "parse": "there is no format string; add fields in add_fields",
    "formatMessage": "there is no format string; change the message in process_log_record",
}


def reject(options: Iterable[str], rename_fields: Iterable[str]) -> None:
    """Check the options that a formatter is made with.

    Raises:
        TypeError: one has no meaning; a sentence with what has.
    """
    for name in options:
        if name in OPTIONS:
            raise TypeError(f"JsonFormatter has no option {name!r}: {OPTIONS[name]}.")
    for name in rename_fields:
        if name in NAMES:
            raise TypeError(f"rename_fields: {name!r} is called {NAMES[name]!r} here.")
