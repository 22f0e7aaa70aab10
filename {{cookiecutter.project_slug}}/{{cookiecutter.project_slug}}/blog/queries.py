"""Cached queries."""

from cacheops import cached

from .models import Blog


@cached(timeout=60 * 10)
def get_all_blogs(author_id: int) -> list[Blog]:
    """Return an author's blogs, up to 10 minutes old.

    A save does not invalidate the result; `get_all_blogs.invalidate(author_id)` does. For results
    that follow saves, use `cached_as(Blog)` of cacheops, or `cached_response` for a view.
    """
    return list(Blog.objects.filter(author_id=author_id))
