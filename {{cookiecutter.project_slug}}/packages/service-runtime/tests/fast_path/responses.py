"""How a response was obtained."""

FAST = "; hit; detail=fast-path"


def is_fast(response):
    """Return whether the fast path has served a response."""
    status = response.headers.get("Cache-Status", "")
    assert status.endswith(FAST) or "fast-path" not in status
    return status.endswith(FAST)
