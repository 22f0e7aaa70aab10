"""Caching that is never stale and never crosses users.

A write is visible to the next read; a value computed while something it depends on changed is not
stored. A response cached for one user is never served to another. An outage of Redis costs speed
only: reads miss, and what could not be invalidated is not read again.
"""

from .pages import public_page
from .responses import cached_response

__all__ = ["cached_response", "public_page"]
