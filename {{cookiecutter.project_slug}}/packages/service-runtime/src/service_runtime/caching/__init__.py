"""Caching that is never stale and never crosses users.

A write is visible to the next read. A value computed while one of its dependencies changed is not
stored. A response cached for one user is never served to another. An outage of Redis costs speed
only: reads miss, and data that could not be invalidated is deleted before Redis is read again.
"""

from .pages import public_page
from .responses import cached_response

__all__ = ["cached_response", "public_page"]
