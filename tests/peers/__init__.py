"""The test suites of the libraries whose classes the runtime replaces, run with its classes.

`make peers` generates a service, downloads the source distributions of the versions that it has
installed, and runs each suite twice in a subprocess:

* with the library's own classes, when every test must pass: so each failure of the other run is
  caused by the runtime's class, and not by the way the suite is run here;
* with the runtime's classes in their place, when exactly the tests of `expected.py` must fail.
  It has a reason for each. A failure that is not listed and a listed test that passes both fail.

What a suite proves:

* **Django** (`cache`, `sessions_tests`): the cache backend keeps every promise of Django's cache
  API and of Django's own Redis backend, and carries sessions.
* **DRF** (`test_throttling.py`): throttles that were written for DRF, and views that use them, keep
  their meaning when their import is changed.
* **cacheops**, on SQLite and PostgreSQL: the client, prefix, transactions and signals of the
  runtime change neither what cacheops caches nor what it invalidates.
* **python-json-logger** (formatters): which options and hooks the log formatter takes over.

`inside/` holds the modules that run in the subprocess. The suites themselves are not copied.
"""
