"""The request's context and user, in the thread that serves it and in others."""

import logging
import re
import subprocess
import threading

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.urls import resolve
from django.utils.functional import SimpleLazyObject

from service_runtime.logging import get_current_user_id, log_event
from service_runtime.logging.context import NONE, Context, context_of, current, in_context
from service_runtime.logging.middleware import RequestContextMiddleware
from tests.logging.conftest import parsed


def test_uid_is_omitted_without_a_user(lines, request_of):
    assert get_current_user_id() == 0
    request_of(AnonymousUser())
    assert get_current_user_id() == 0

    log_event("anonymous", None)

    assert "uid" not in lines()[0]


def test_lazy_user_is_not_loaded(request_of):
    def load():
        raise AssertionError("logging must not load the user")

    request_of(SimpleLazyObject(load))

    assert get_current_user_id() == 0


def test_in_context_passes_the_context_to_a_thread(lines):
    token = current.set(Context(request_id="abcdefgh"))
    log = logging.getLogger("django_default")

    def work():
        log.warning("working")

    threads = [threading.Thread(target=in_context(work)), threading.Thread(target=work)]
    current.reset(token)
    for thread in threads:
        thread.start()
        thread.join()

    assert [line.get("request_id") for line in lines()] == ["abcdefgh", None]


def test_user_that_fails_counts_as_none(request_of):
    class Broken:
        @property
        def pk(self):
            raise RuntimeError

    request_of(Broken())

    assert get_current_user_id() == 0


def test_uncaught_exception_of_a_thread_has_its_context(script):
    command = script(
        """
        from service_runtime.logging.context import Context, current, in_context
        current.set(Context(request_id="abcdefgh"))
        thread = threading.Thread(target=in_context(lambda: 1 / 0))
        current.set(Context())
        thread.start()
        thread.join()
        """
    )
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    line = parsed(done.stdout.rstrip())
    assert line["exception.type"] == "builtins.ZeroDivisionError"
    assert line["request_id"] == "abcdefgh"


def test_in_context_returns_and_raises_as_the_function_does():
    assert in_context(lambda number: number + 1)(1) == 2
    with pytest.raises(KeyError):
        in_context({"a": 1}.__getitem__)("missing")


@pytest.mark.parametrize("given", ["abcdefgh", "A.b_c-" + "1" * 122])
def test_valid_request_id_of_the_client_is_returned(client, given):
    response = client.get("/admin/login/", headers={"X-Request-ID": given})

    assert response["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "short", "a" * 129, "with space", "caf\xe9cafe"])
def test_invalid_request_id_is_replaced(client, given):
    response = client.get("/admin/login/", headers={"X-Request-ID": given})

    assert re.fullmatch("[0-9a-f]{32}", response["X-Request-ID"])
    assert current.get() is NONE  # after the response


@pytest.mark.parametrize(("seconds", "is_logged"), [(1e-9, True), (60.0, False), (0.0, False)])
def test_slow_request_is_logged_with_its_route(rf, settings, lines, seconds, is_logged):
    settings.SLOW_REQUEST_SECONDS = seconds
    request = rf.get("/admin/login/?token=hush")
    request.resolver_match = resolve("/admin/login/")

    RequestContextMiddleware(lambda request: HttpResponse(status=201))(request)

    events = [line for line in lines() if line.get("ev") == "slow_request"]
    assert len(events) == is_logged
    for event in events:
        assert event["severity"] == "WARNING"
        assert event["data"].pop("duration_ms") >= 0
        assert event["data"] == {"method": "GET", "route": "admin/login/", "status": 201}
    current.set(NONE)


@pytest.mark.parametrize(
    ("header", "ids"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", ("a" * 32, "b" * 16)),
        (f"cc-{'a' * 32}-{'b' * 16}-01-later", ("a" * 32, "b" * 16)),
        (f"ff-{'a' * 32}-{'b' * 16}-01", (None, None)),
        (f"00-{'0' * 32}-{'b' * 16}-01", (None, None)),
        (f"00-{'a' * 32}-{'0' * 16}-01", (None, None)),
        ("nonsense", (None, None)),
        ("", (None, None)),
    ],
)
def test_valid_traceparent_of_the_caller_is_continued(rf, header, ids):
    context = context_of(rf.get("/", headers={"traceparent": header}).META)

    assert (context.trace_id, context.span_id) == ids


def test_span_of_the_service_itself_takes_precedence(rf, monkeypatch):
    monkeypatch.setattr("service_runtime.logging.context.span_ids", lambda: ("1" * 32, "2" * 16))

    context = context_of(rf.get("/", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}).META)

    assert (context.trace_id, context.span_id) == ("1" * 32, "2" * 16)
