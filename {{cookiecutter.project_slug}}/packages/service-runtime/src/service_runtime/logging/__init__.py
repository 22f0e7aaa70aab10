"""JSON logs: one object per line on stdout, from every source of the process.

Logging never raises into its caller, never runs a query and never loses a record silently. Secrets
are redacted by name in every structure, and a line is at most 16 KiB.
"""

from .context import get_current_user_id, in_context
from .events import log_event, log_event_rarely
from .formatter import JsonFormatter

__all__ = [
    "JsonFormatter",
    "get_current_user_id",
    "in_context",
    "log_event",
    "log_event_rarely",
]
