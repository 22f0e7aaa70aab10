"""The service's settings with the views that bench/cost.py measures, and a count of queries."""

import threading

import cache_service
from django.db.backends.signals import connection_created

globals().update({name: value for name, value in vars(cache_service).items() if name.isupper()})

MIDDLEWARE = ["cost_service.count_queries", *globals()["MIDDLEWARE"]]


_queries = threading.local()


def _count(execute, sql, params, many, context):
    _queries.count = getattr(_queries, "count", 0) + 1
    return execute(sql, params, many, context)


def _install(connection, **kwargs):
    if _count not in connection.execute_wrappers:
        connection.execute_wrappers.append(_count)


connection_created.connect(_install)


def count_queries(get_response):
    """Send the number of queries of a request as a header."""

    def middleware(request):
        _queries.count = 0
        response = get_response(request)
        response["X-Queries"] = _queries.count
        return response

    return middleware
