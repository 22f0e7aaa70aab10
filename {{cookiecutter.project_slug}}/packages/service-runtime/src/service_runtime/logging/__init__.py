"""JSON logs that can be followed from a client's request to the line that explains it."""

from .context import get_current_user_id, in_context
from .events import log_event
from .formatter import JsonFormatter

__all__ = ["JsonFormatter", "get_current_user_id", "in_context", "log_event"]
