"""URLs of databases."""

from urllib.parse import urlsplit

_POSTGRESQL = {"postgres", "postgresql", "pgsql"}


def url_fault(url: str) -> str | None:
    """Return the rule that a database's URL violates, or None. It repeats no part of the URL."""
    scheme = url.partition("://")[0].lower()
    if scheme == "sqlite":
        return None
    if scheme not in _POSTGRESQL:
        return "The scheme must be postgres or sqlite."
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "The host or the port is invalid."
    name = parts.path.removeprefix("/")
    if not name:
        return "The name of the database is missing."
    if "/" in name:
        return "The path must be the name of the database alone."
    return None
