"""All ways give the same responses: 10,000 random requests to a service with and without them."""

import base64
import io
import random
import re

import pytest
import redis
from cacheops.redis import redis_client
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client

from service_runtime.fast_path import FastPathHandler
from service_runtime.http import WSGIRequest
from service_runtime.redis.circuit_breaker import CircuitBreaker
from tests.fast_path.wsgi import call, environ_of
from tests.waiting import wait_for

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]
REQUESTS = 10_000
SEED = 17
PATHS = (
    *("/api/groups/",) * 6,
    *("/api/groups/1/", "/api/groups/2/", "/api/groups/3/", "/api/groups/x/", "/api/groups"),
    *("/api/unthrottled/", "/api/shared/", "/api/own/", "/api/set/", "/api/set/1/", "/missing/"),
)
QUERIES = ("",) * 5 + ("page=1", "page=2", "format=json", "format=xml", "q=%ff", "a=1&a=2")
METHODS = ("GET",) * 8 + ("HEAD",) * 2 + ("POST", "OPTIONS", "PUT")
# Django decodes the cookies, and strips this space.
NO_BREAK = "a=1; \xc2\xa0csrftoken=x"
# Absent in most requests.
HEADERS = {
    "HTTP_HOST": ["testserver", "testserver:80", "127.0.0.1", "other.example", "bad host"],
    "HTTP_ACCEPT": ["application/json", "*/*", "text/html", "application/problem+json, */*", "a/b"],
    "HTTP_ACCEPT_LANGUAGE": ["de", "en;q=0.5"],
    "HTTP_ORIGIN": ["https://testserver", "https://other.example", "null"],
    "HTTP_X_FORWARDED_PROTO": ["https", "http"],
    "HTTP_X_FORWARDED_HOST": ["other.example"],
    "HTTP_USER_AGENT": ["curl/8", "Mozilla/5.0", ""],
    "HTTP_X_REQUEST_ID": ["0123456789abcdef", "bad id"],
    "HTTP_RANGE": ["bytes=0-1"],
    "HTTP_CACHE_CONTROL": ["no-cache"],
    "HTTP_IF_NONE_MATCH": ["ETAG", "*", '"other"', "garbage", 'W/"x", ETAG'],
    "HTTP_IF_MATCH": ["ETAG", '"other"'],
    "HTTP_IF_MODIFIED_SINCE": ["Sun, 29 Nov 2026 10:00:00 GMT", "garbage"],
    "HTTP_AUTHORIZATION": ["VALID", "Basic eDp5", "Basic !", "Bearer x", ""],
    "HTTP_COOKIE": [
        "SESSION",
        "sessionid=unknown0",
        "csrftoken=x",
        "messages=x",
        "_ga=1",
        ";;=",
        NO_BREAK,
    ],
    "CONTENT_TYPE": ["application/json", "text/plain; charset=rot13"],
    "CONTENT_LENGTH": ["2", "0", ""],
}
# Other values of these do not differ by way: ids, times, and how the response was obtained.
CHANGING = {"X-Request-ID", "Cache-Status", "Retry-After"}


class Side:
    """A service with some middleware, its clients, and its last ETag."""

    def __init__(self, settings, handler, middleware, address, user):
        settings.MIDDLEWARE = middleware
        self._handler = handler()
        self._handler.request_class = WSGIRequest
        self._address = address
        self._secrets = {
            "VALID": "Basic " + base64.b64encode(f"{user}:secret".encode()).decode(),
            "SESSION": f"sessionid={session_of(user)}",
            "ETAG": '"none"',
        }
        self.fast = 0

    def respond(self, environ):
        """Return the status, the headers and the body, and the number of queries."""
        given = {name: self._filled(value) for name, value in environ.items()}
        given |= {"REMOTE_ADDR": self._address, "wsgi.input": io.BytesIO(b"{}")}
        status, headers, body = call(self._handler, given)
        values = dict(headers)
        self.fast += "fast-path" in values.get("Cache-Status", "")
        if environ["PATH_INFO"] == "/api/groups/":
            self._secrets["ETAG"] = values.get("ETag", self._secrets["ETAG"])
        comparable = [(name, _timeless(text)) for name, text in headers if name not in CHANGING]
        return status, comparable, _timeless(body.decode())

    def _filled(self, value):
        if not isinstance(value, str):
            return value
        for name, secret in self._secrets.items():
            value = value.replace(name, secret)
        return value


def _timeless(text):
    return re.sub(r"t=\d+|in \d+ second|csrftoken=\w+; expires=[^;]+", "TIME", text)


def session_of(user):
    client = Client()
    client.force_login(get_user_model().objects.create_user(user, password="secret"))
    return client.cookies["sessionid"].value


def random_environ(chosen):
    """Return a random request."""
    environ = environ_of(
        chosen.choice(PATHS),
        REQUEST_METHOD=chosen.choice(METHODS),
        QUERY_STRING=chosen.choice(QUERIES),
    )
    for name, values in HEADERS.items():
        if chosen.random() < 0.06:
            environ[name] = chosen.choice(values)
    return environ


def change(chosen):
    """Change the rows, or end or start an outage of Redis."""
    pk = chosen.randint(1, 3)
    name = f"group {chosen.random()}"
    event = chosen.randrange(8)
    if event < 4:
        Group.objects.update_or_create(pk=pk, defaults={"name": name})
    elif event == 4:
        Group.objects.filter(pk=pk).delete()
    elif event == 5:
        Group.objects.filter(pk=pk).update(name=name)
    elif event == 6:
        redis_client.breaker.trip(redis.ConnectionError("down"))
    else:
        end_outage()


start_probe = CircuitBreaker._start_probe


def end_outage():
    if redis_client.breaker.is_open:
        start_probe(redis_client.breaker)
    wait_for(lambda: not redis_client.breaker.is_open)


@pytest.mark.filterwarnings("ignore:The cacheops cache is unreachable")
def test_all_ways_give_the_same_responses(settings, set_rates, monkeypatch):
    # An outage does not end between two requests that are compared.
    monkeypatch.setattr(CircuitBreaker, "_start_probe", lambda self: None)
    settings.ROOT_URLCONF = "tests.fast_path.views"
    settings.ALLOWED_HOSTS = ["testserver", "127.0.0.1"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.THROTTLING_FAIL_CLOSED = ["set"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    set_rates(groups="2000/day;1500/hour", anon="100000/day", set="200/day")
    everything = settings.MIDDLEWARE
    without = [name for name in everything if "fast_path" not in name]
    fast = Side(settings, FastPathHandler, everything, "203.0.113.1", "ada")
    late = Side(settings, WSGIHandler, everything, "203.0.113.2", "bob")
    plain = Side(settings, WSGIHandler, without, "203.0.113.3", "eve")
    chosen = random.Random(SEED)  # noqa: S311
    statuses = set()
    for number in range(REQUESTS):
        if chosen.random() < 0.03:
            change(chosen)
        environ = random_environ(chosen)
        expected = plain.respond(environ)
        for side in (fast, late):
            actual = side.respond(environ)
            differences = {*actual[1]} ^ {*expected[1]}
            assert actual == expected, f"{number}: {environ}: {differences}"
        statuses.add(expected[0][:3])

    end_outage()
    assert statuses >= {"200", "304", "400", "401", "404", "405", "406", "412", "429", "503"}
    assert fast.fast == late.fast > REQUESTS / 20
    assert plain.fast == 0
