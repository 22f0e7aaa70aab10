"""Parses JSON from clients; whatever they send is at worst a 400."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework import parsers, status
from rest_framework.exceptions import APIException, ParseError


class ContentTooLargeError(APIException):
    """The body has more bytes than DATA_UPLOAD_MAX_MEMORY_SIZE, as Django rejects of forms."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request body is too large."
    default_code = "content_too_large"


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
            ContentTooLargeError: it is longer than DATA_UPLOAD_MAX_MEMORY_SIZE.
        """
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            body = stream.read() if limit is None else stream.read(limit + 1)
        except OSError as error:  # the client has gone, or its chunks are malformed
            raise ParseError("The request body is incomplete.") from error
        if limit is not None and len(body) > limit:
            raise ContentTooLargeError
        try:
            return json.loads(body, parse_constant=_finite, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise ParseError(f"JSON parse error - {error}") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is out of range")
    return number
