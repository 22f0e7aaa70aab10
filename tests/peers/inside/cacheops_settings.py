"""Settings for cacheops' tests: its own, with the runtime's client, prefix and signals."""

import os

import dj_database_url
import service
from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

CACHEOPS_REDIS = os.environ["REDIS_URL"]
if service.NAME:
    globals().update(service.added_settings())
    INSTALLED_APPS = ["service_runtime", *INSTALLED_APPS]
if url := os.environ.get("DATABASE_URL"):
    os.environ["CACHEOPS_DB"] = "postgresql"  # adds models to the tests
    for _name in DATABASES:
        _test = {"NAME": f"{service.NAME or 'stock'}_{_name}"}
        DATABASES[_name] = {**dj_database_url.parse(url), "TEST": _test}
elif service.NAME:
    for _database in DATABASES.values():
        # In other modes, nothing is cached in a transaction, since it can read from a snapshot.
        _database["OPTIONS"] = {"transaction_mode": "IMMEDIATE"}
