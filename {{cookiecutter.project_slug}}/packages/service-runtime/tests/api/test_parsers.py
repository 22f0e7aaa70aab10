"""Bodies that are not JSON for this service are a 400."""

from io import BytesIO

import pytest
from rest_framework.exceptions import ParseError

from service_runtime.api.parsers import JSONParser


def parse(body):
    return JSONParser().parse(BytesIO(body), media_type="application/json", parser_context={})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"NaN", b"-Infinity", b"1e999", b"[" * 100_000, b"\xff", b"{'a': 1}"]
)
def test_a_malformed_body_is_a_parse_error(body):
    with pytest.raises(ParseError, match="JSON parse error"):
        parse(body)


def test_json_is_parsed():
    assert parse(b'{"a": [1, 1.5, null, "\\u00e9"]}') == {"a": [1, 1.5, None, "\u00e9"]}
