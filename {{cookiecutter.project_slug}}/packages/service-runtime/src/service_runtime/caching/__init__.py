"""Caching: the backend, cacheops' client, and cached answers (docs/caching.md)."""
