"""Keep a line within 16 KiB."""

import json
from collections.abc import Callable
from itertools import islice
from typing import Any

from .values import shortened, text

MAX_BYTES = 16 * 1024 - 1  # with its newline 16 KiB, which every log collector accepts
MIN_TEXT = 100  # characters; fields are shortened to them before any field is dropped
Encode = Callable[[dict[str, Any]], str]


def bounded(line: str, fields: dict[str, Any], encode: Encode) -> str:
    """Return fields as a line of JSON of at most MAX_BYTES that UTF-8 can encode.

    The longest fields are shortened, and `truncated` lists them. If that is not enough, because
    there are many fields, only the first ones stay: those that every line has.

    Args:
        line: the fields as JSON.
        fields: values that JSON can express.
        encode: returns fields as JSON.
    """
    line = _utf8(line)
    if len(line.encode()) <= MAX_BYTES:
        return line
    sizes = {name: len(encode({name: value})) for name, value in fields.items()}
    limit, cut = MAX_BYTES, fields
    while len(line.encode()) > MAX_BYTES and limit > MIN_TEXT:
        limit = max(limit * 2 // 3, MIN_TEXT)
        long = [name for name, size in sizes.items() if size > limit]
        cut = fields | {name: shortened(_as_text(fields[name]), limit // 2) for name in long}
        line = _utf8(encode({**cut, "truncated": long[:10]}))
    if len(line.encode()) > MAX_BYTES:
        first = dict(islice(cut.items(), 10))
        line = _utf8(encode({**first, "truncated": [f"{len(fields) - 10} fields"]}))
    return line


def _utf8(line: str) -> str:
    """Escape lone surrogates, which UTF-8 cannot encode."""
    return line.encode("utf-8", "backslashreplace").decode()


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=text, ensure_ascii=False)
