"""The service's settings with the views that bench/cost.py measures, and a count of queries."""

import cache_service
from django.db import connection

globals().update({name: value for name, value in vars(cache_service).items() if name.isupper()})

ROOT_URLCONF = "cost_urls"
REST_FRAMEWORK = {
    **globals()["REST_FRAMEWORK"],
    "DEFAULT_THROTTLE_RATES": {
        **globals()["REST_FRAMEWORK"]["DEFAULT_THROTTLE_RATES"],
        "denied": "1/hour",
    },
}
MIDDLEWARE = ["cost_service.count_queries", *globals()["MIDDLEWARE"]]


def count_queries(get_response):
    """Send the number of queries of a request as a header."""

    def middleware(request):
        count = 0

        def counted(execute, *arguments):
            nonlocal count
            count += 1
            return execute(*arguments)

        with connection.execute_wrapper(counted):
            response = get_response(request)
        response["X-Queries"] = count
        return response

    return middleware
