"""The service's settings for tests: the same on every machine, whatever .env says."""

import os
import tempfile

for _name in [name for name in os.environ if name.startswith(("THROTTLE_", "LOG_"))]:
    del os.environ[_name]
os.environ.update(ENV_FILE=os.devnull, DEBUG="true", CACHE_KEY_PREFIX="tests")
# A machine busy with tests is not an outage.
os.environ["REDIS_SOCKET_TIMEOUT"] = "2"

from {{ cookiecutter.project_slug }}.settings import *  # noqa: E402, F403

INSTALLED_APPS += ["django_migration_linter"]  # noqa: F405
LOGGING["loggers"]["django_migration_linter"] = {"level": "WARNING"}  # noqa: F405
# With a database in memory, threads share a cache and fail where they would wait for a file.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    _file = os.path.join(tempfile.gettempdir(), f"tests-{os.getpid()}.sqlite3")
    DATABASES["default"]["TEST"] = {"NAME": _file}  # noqa: F405
# Password hashing is slow by design; no test needs it.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
