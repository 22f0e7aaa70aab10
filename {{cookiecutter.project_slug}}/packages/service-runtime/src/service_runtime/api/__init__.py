"""The API's errors, parsers and schema: every error under API_PREFIX is JSON or problem details."""
