"""Format exceptions and stacks without secrets. Of source code only literals are redacted."""

import re
import traceback
from itertools import groupby

from .redaction import Masked
from .values import MAX_TEXT, shortened, text

_FRAME = re.compile(r'[ |+-]*File "[^"\n]*", line \d+, in ')


def format_trace(error: BaseException) -> str:
    """Return an exception's stack trace, with its notes, its causes and the members of a group."""
    parts = groupby(traceback.format_exception(error), key=lambda part: bool(_FRAME.match(part)))
    return "".join(
        "".join(map(_frame, group)) if is_frame else text("".join(group))
        for is_frame, group in parts
    )


def shown(trace: str, *, as_lines: bool) -> str | list[str]:
    """Return a trace within bounds, marked so that it is not searched for secrets again."""
    trace = trace.removesuffix("\n")
    trace = Masked(trace if len(trace) <= MAX_TEXT else shortened(trace, MAX_TEXT))
    return trace.splitlines() if as_lines else trace


def _frame(part: str) -> str:
    """Return a frame of a trace without the literals in its source line."""
    location, _, source = part.partition("\n")
    has_literal = "'" in source or '"' in source
    return f"{location}\n{text(source, code=True)}" if has_literal else part
