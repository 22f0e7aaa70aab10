"""Shows exceptions and stacks: their code as it is, and what they say without secrets."""

import re
import traceback
from itertools import groupby

from .redaction import Masked
from .values import MAX_TEXT, shortened, text

_FRAME = re.compile(r'[ |+-]*File "[^"\n]*", line \d+, in ')


def trace_of(error: BaseException | None) -> str:
    """Return an exception's trace, with its notes, its causes and the members of a group."""
    parts = groupby(traceback.format_exception(error), key=_is_frame)
    return "".join(
        "".join(map(_frame, group)) if is_frame else text("".join(group))
        for is_frame, group in parts
    )


def shown(trace: str, *, as_lines: bool) -> str | list[str]:
    """Return a trace within bounds, which need not be searched for secrets again."""
    trace = trace.removesuffix("\n")
    trace = Masked(trace if len(trace) <= MAX_TEXT else shortened(trace, MAX_TEXT))
    return trace.splitlines() if as_lines else trace


def _is_frame(part: str) -> bool:
    return _FRAME.match(part) is not None


def _frame(part: str) -> str:
    """Return a frame of a trace without the literals in its line of source."""
    where, _, source = part.partition("\n")
    is_plain = "'" not in source and '"' not in source
    return part if is_plain else f"{where}\n{text(source, code=True)}"
