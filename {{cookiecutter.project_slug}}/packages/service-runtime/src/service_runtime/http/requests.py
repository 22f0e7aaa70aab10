"""Turns what a client can send, and nothing can process, into a 400 instead of a 500."""

import codecs
import traceback
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.handlers import wsgi
from django.db import DataError
from django.http import HttpRequest
from django.middleware import common
from django.utils.http import parse_header_parameters

# These decode any bytes, at worst to replacement characters. Others raise: rot13, idna, undefined.
_CHARSETS = {"ascii", "cp1252", "iso8859-1", "utf-8"}
# Where Django and psycopg convert values for the database.
_CONVERTERS = ("django.db.models.fields", "django.db.backends.", "psycopg")


class WSGIRequest(wsgi.WSGIRequest):
    """Django's request, for which a Content-Type that it cannot interpret counts as none.

    Django parses the header while it creates the request. An exception there is raised outside all
    middleware, and one about the charset again whenever the form is read, by the error pages too.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        if not _can_interpret(environ.get("CONTENT_TYPE", "")):
            environ["CONTENT_TYPE"] = ""
        super().__init__(environ)


def _can_interpret(content_type: str) -> bool:
    if ";" not in content_type:
        return True
    try:
        charset = parse_header_parameters(content_type)[1].get("charset", "utf-8")
        return codecs.lookup(charset).name in _CHARSETS
    except LookupError:  # a name that nothing knows, which Django ignores
        return True
    except ValueError:
        return False


class UnstorableValueError(SuspiciousOperation):
    """A value of the request that the database cannot take: Django responds with a 400."""


class CommonMiddleware(common.CommonMiddleware):
    """Django's middleware, which also recognizes exceptions of views about unstorable values.

    Examples are a NUL in a text, an integer of 20 digits or the year 0, where no form and no
    serializer has validated them, as in the filters of the admin.
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Raise UnstorableValueError if the view has failed for such a value."""
        if _is_about_a_value(exception):
            raise UnstorableValueError(str(exception)) from exception


def _is_about_a_value(exception: Exception) -> bool:
    if isinstance(exception, DataError):
        return True
    if not isinstance(exception, OverflowError | ValueError):
        return False
    *_, (frame, _) = traceback.walk_tb(exception.__traceback__)
    module: str = frame.f_globals.get("__name__", "")
    return module == _CONVERTERS[0] or module.startswith(_CONVERTERS[1:])
