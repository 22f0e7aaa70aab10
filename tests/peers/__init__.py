"""Run the test suites of libraries with the runtime's classes in place of their own.

`make peers` generates a service, downloads the source distributions of its installed libraries,
and runs each suite twice in a subprocess:

* with the library's classes: all tests must pass. A failure in the second run is then caused by
  the runtime's classes, not by this setup;
* with the runtime's classes instead: exactly the tests in `expected.py` must fail. It states a
  reason for each. An unlisted failure is an error, and so is a listed test that passes.

The guarantee of each suite:

* **Django** (`cache`, `sessions_tests`): the cache backend has all properties of Django's cache
  API and of Django's Redis backend, and stores sessions.
* **DRF** (`test_throttling.py`): throttles written for DRF, and the views that use them, behave
  the same after a change of the import.
* **cacheops**, on SQLite and PostgreSQL: the runtime's client, prefix, transactions and signals do
  not change caching and invalidation.
* **python-json-logger** (formatters): the options and hooks that the log formatter supports.

`inside/` contains the modules that run in the subprocess. The suites themselves are not copied.
"""
