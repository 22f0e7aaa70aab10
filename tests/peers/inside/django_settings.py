"""Settings for Django's tests of caches and sessions, all with Redis.

Django's tests find the Redis cache by the name of Django's backend, so the runtime's class replaces
it under that name.
"""

import os
from importlib import import_module

import django.core.cache.backends.redis
import service
from django.utils.module_loading import import_string

DATABASES = {name: {"ENGINE": "django.db.backends.sqlite3"} for name in ("default", "other")}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECRET_KEY = "not secret"
TEST_RUNNER = "django_runner.Runner"
USE_TZ = False

_cache = {"LOCATION": os.environ["REDIS_URL"]}
if service.NAME:
    globals().update(service.added_settings())
    _cache = import_module(f"{service.NAME}.settings").CACHES["default"]
    django.core.cache.backends.redis.RedisCache = import_string(_cache["BACKEND"])
CACHES = {"default": {**_cache, "BACKEND": "django.core.cache.backends.redis.RedisCache"}}
