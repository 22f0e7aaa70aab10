"""Database sessions that ignore malformed keys (SESSION_ENGINE)."""

import re
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import VALID_KEY_CHARS

_KEY = re.compile("[" + VALID_KEY_CHARS + "]{8,40}")


class SessionStore(db.SessionStore):
    """Django's store, which ignores keys in a format that it does not issue.

    Otherwise any text in the cookie would reach the database, and PostgreSQL rejects a NUL.
    """

    def _validate_session_key(self, key: Any) -> bool:
        return isinstance(key, str) and _KEY.fullmatch(key) is not None
