"""Parse JSON from clients; invalid input is a 400."""

import json
import math
from typing import Any

from rest_framework import parsers
from rest_framework.exceptions import ParseError


class JSONParser(parsers.JSONParser):
    """Parse JSON like Django REST framework; also reject deep nesting and infinite numbers."""

    def parse(self, stream: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the value in the stream.

        Raises:
            rest_framework.exceptions.ParseError: the stream has no JSON, or none that is supported.
        """
        try:
            return json.loads(stream.read(), parse_constant=_finite, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise ParseError(f"JSON parse error - {error}") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is out of range")
    return number
