"""Parses JSON from clients; whatever they send is at worst a 400."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from rest_framework import parsers
from rest_framework.exceptions import ParseError


class JSONParser(parsers.JSONParser):
    """Django REST framework's parser, which also refuses endless nesting and infinite numbers."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what the stream holds.

        Raises:
            rest_framework.exceptions.ParseError: it is not JSON, or no JSON for this service.
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
