"""The API's errors and schema: every error under API_PREFIX is JSON or problem details (RFC 9457)."""
