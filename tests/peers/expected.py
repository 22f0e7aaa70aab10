EXPECTED = {"Django cache and sessions": {},"DRF throttling": {},"cacheops on SQLite": {},"cacheops on PostgreSQL": {},"python-json-logger": {}}
