"""Database sessions for which a malformed key is no session (SESSION_ENGINE)."""

import re
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import VALID_KEY_CHARS

_KEY = re.compile("[" + VALID_KEY_CHARS + "]{8,40}")


class SessionStore(db.SessionStore):
    """Django's store, which reads only keys that it can have issued.

    Any other text in the cookie would reach the database, and PostgreSQL rejects some: a NUL.
    """

    def _validate_session_key(self, key: Any) -> bool:
        return isinstance(key, str) and _KEY.fullmatch(key) is not None
