"""Secrets in free text are redacted, and text about secrets is not."""

import json
import logging
import time
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service_runtime.logging import log_event
from service_runtime.logging.scanner import redacted
from service_runtime.logging.values import text


@pytest.mark.parametrize(
    "text", ["http://host:8000/users/@ada", "session_count=3", "GET /?page=2&order=title", "a = b"]
)
def test_similar_text_is_not_redacted(lines, text):
    log_event("fine", {"value": text})

    assert lines()[0]["data"]["value"] == text


def test_passwords_in_urls_are_redacted(lines):
    url = "redis://user:hush@host:6379/0"
    log_event("connected", {"url": url})
    try:
        raise ConnectionError(f"cannot reach {url}")
    except ConnectionError:
        logging.getLogger("django_default").exception("at %s", url)

    assert "hush" not in str(lines())
    assert lines()[0]["data"]["url"] == "redis://user:[redacted]@host:6379/0"


CREDENTIALS = {
    "bearer": "rejected Bearer hush123 at once",
    "bearer, a word": "rejected Bearer hush",
    "a token": "Token 9944b09199c62bcf9418ad846dd0e4bbdfc6hush",
    "basic": "Basic YWRhOmh1c2g= hush"[:-5],
    "a JWT": "got eyJhbGciOiJIUzI1NiJ9.hush.hush",
    "a hash": "INSERT VALUES ('pbkdf2_sha256$870000$hush$hush=', 1)",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nhush\n-----END RSA PRIVATE KEY-----",
    "a header": "Authorization: Bearer hush",
    "a quoted header": "curl -H 'Authorization: hush hush' https://example.com",
    "a header's key": "X-Api-Key: hush",
    "cookies": "Cookie: a=hush; sessionid=hush",
    "a cookie": "Set-Cookie: sessionid=hush; HttpOnly; Path=/",
    "a pair": "('Authorization', 'hush hush')",
    "pairs": """[["Authorization", "hush"], ["Cookie", "a=hush"]]""",
    "pairs of bytes": "[(b'authorization', b'hush'), (b'accept', b'*/*')]",
    "a manifest": "{'name': 'DB_PASSWORD', 'value': 'hush'}",
    "the environment": "environ({'SECRET_KEY': 'hush', 'HOME': '/'})",
    "a shell's": 'declare -x DB_PASSWORD="hush hush"',
    "a command's": "Command '['mysql', '--password', 'hush']' returned 1",
    "an option": "mysql --password hush --host db",
    "an assignment": "password = hush",
    "a quoted assignment": "password = 'hush hush'",
    "brackets in a value": "password=p)hush user=ada",
    "a line of YAML": "password: hush",
    "a list": "passwords=['hush', 'hush']",
    "a part of a secret": "Config(credentials=Login(user='hush', note='(hush'), x=1)",
    "an object": "password=<Secret hush>",
    "another language": "Login{user='ada', password=hush}",
    "JSON in JSON": r'{"body": "{\"password\": \"a \\\"hush\\\" b\"}"}',
    "what is cut off": "{'password': 'hush",
    "a request": "<WSGIRequest: GET '/path?token=hush'>",
    "an encoded query": "https://example.com/?next=/x%3Ftoken%3Dhush",
    "an encoded name": "user%5Bpassword%5D=hush&%5Btoken%5D=hush",
    "a row": "DETAIL:  Failing row contains (1, it's, hush) hush).",
    "a key": "DETAIL:  Key (id, token)=(1, hush) already exists.",
    "a query": """UPDATE "users" SET "password" = 'hush' WHERE "id" = 5""",
}


READABLE = [
    "tokens: 5",
    "max_tokens=100",
    "password reset for user",
    "the token expired",
    "Token expired at 2026",
    "password: This field is required.",
    "Forbidden (CSRF token missing.): /api/x/",
    "Basic authentication is required",
    "missing Bearer token",
    'WWW-Authenticate: Bearer realm="api"',
    "session: closed",
    "auth: ok",
    "tokenizer=bert",
    "password=None",
    '"token" = %s AND "id" = %s',
    "SELECT token FROM t WHERE id = 5",
    "2026-11-24T10:00:00 key: value",
    "UNIQUE constraint failed: users_token.key",
]


@pytest.mark.parametrize("secret", CREDENTIALS.values(), ids=CREDENTIALS)
def test_secrets_in_text_are_redacted(lines, secret):
    logger = logging.getLogger("django_default")
    log_event("secret", {"value": secret, secret[:190]: 1})
    logger.warning(secret)
    logger.warning("%s", secret)
    try:
        error = ValueError(secret)
        error.add_note(secret)
        raise ExceptionGroup("two", [error, KeyError(secret)]) from RuntimeError(secret)
    except ExceptionGroup:
        logger.exception("failed")

    assert len(lines()) == 4
    assert "hush" not in str(lines())


@pytest.mark.parametrize("readable", READABLE)
def test_text_about_secrets_stays_readable(readable):
    assert text(readable) == readable


def test_trace_shows_source_without_literals(lines):
    def login(password):
        raise ValueError(f"password={password}")

    given = "hush"
    try:
        login(password=given), login(password="literal")
    except ValueError:
        logging.getLogger("django_default").exception("failed", stack_info=True)

    (line,) = lines()
    trace = line["exception.stacktrace"]
    assert 'login(password=given), login(password="[redacted]")' in trace
    assert "ValueError: password=[redacted]" in trace
    assert "stack_info=True" in line["stack_info"]


SECRET = "p4$'\"\\ws(}]),;& hush"


structures = st.recursive(
    st.none() | st.integers() | st.text("ab'\"\\()[]{},:= ", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)


@given(structures, structures, st.sampled_from(["password", "api_key", "Set-Cookie", "x_token"]))
@settings(deadline=None)
def test_secret_is_redacted_in_any_surrounding(before, after, name):
    value = {"before": before, name: SECRET, "after": [after, {name: [SECRET, {"x": SECRET}]}]}
    body = json.dumps(value)
    nested = [body, str(value), json.dumps({"body": body}), str({"body": body})]
    for written in [
        *nested,
        json.dumps(str(value)),
        str([str(value)]),
        str(nested),
        repr(nested[2]),
    ]:
        assert "hush" not in redacted(written)
    assert "hush" not in redacted(urllib.parse.urlencode({"a": str(before), name: SECRET}))


PIECES = [
    *("password", "a", "é", "=", ":", "'", '"', "\\", "\\'", '\\"', "(", ")", "[", "{", "}", ","),
    *(" ", "\n", "Bearer ", "eyJaaaaaaaa", ".", "--", "-----BEGIN PRIVATE KEY-----", "://", "@"),
    *("%5B", "%3D", "Failing row contains (", "Key (", "token", "pbkdf2_", "$", "value", "b", "<"),
]


@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@settings(deadline=None, max_examples=300)
def test_any_text_can_be_searched(written):
    assert isinstance(redacted(written), str)
    assert isinstance(redacted(written, code=True), str)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join))
@settings(deadline=None, max_examples=150)
def test_search_time_is_linear(piece):
    """Eight times the text takes about eight times as long; 64 times if it were quadratic."""

    def seconds(size):
        written = "token" + piece * (size // len(piece))
        spent = []
        for _ in range(3):
            started = time.thread_time()
            redacted(written)
            spent.append(time.thread_time() - started)
        return min(spent)

    assert seconds(2**16) < 24 * seconds(2**13) + 0.01
