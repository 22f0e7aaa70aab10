"""The API: errors under API_PREFIX are JSON or problem details (RFC 9457), and in the schema."""
