"""Queries worth remembering."""

from cacheops import cached

from .models import Blog


@cached(timeout=60 * 10)
def get_all_blogs(author_id: int) -> list[Blog]:
    """Return an author's blogs, as they were at some time in the last 10 minutes.

    Saving a blog does not refresh it: `get_all_blogs.invalidate(author_id)` does. Where that is
    too old, use cacheops' `cached_as(Blog)`, or `cached_response` for a view: both follow saves.
    """
    return list(Blog.objects.filter(author_id=author_id))
