"""The API: every error under API_PREFIX is JSON or problem details (RFC 9457), and in the schema."""
