"""Per-scope throttles whose rates come from the environment (docs/throttling.md)."""
