"""The service's settings with the URLs and caches that bench compares."""

import importlib
import os

PACKAGE = os.environ["BENCH_PACKAGE"]
_settings = vars(importlib.import_module(f"{PACKAGE}.settings"))
globals().update({name: value for name, value in _settings.items() if name.isupper()})

DJANGO_CACHE = "django.core.cache.backends.redis.RedisCache"
ROOT_URLCONF = "cache_urls"
THROTTLING_HEADERS = "draft"
REST_FRAMEWORK = {
    **globals()["REST_FRAMEWORK"],
    "DEFAULT_THROTTLE_RATES": {
        **dict.fromkeys(globals()["THROTTLE_RATES"], "1000000/hour"),
        "denied": "1000/hour",
    },
}
CACHES = {
    **globals()["CACHES"],
    "stock": {"BACKEND": DJANGO_CACHE, "LOCATION": globals()["REDIS_URL"], "KEY_PREFIX": "stock"},
}
_without = tuple(os.environ.get("BENCH_WITHOUT", "").split())
MIDDLEWARE = [name for name in globals()["MIDDLEWARE"] if not name.endswith(_without or "!")]
