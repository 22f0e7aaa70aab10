"""Respond to malformed requests with a 400 instead of a 500."""

import codecs
import traceback
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.handlers import wsgi
from django.db import DataError
from django.http import HttpRequest
from django.middleware import common
from django.utils.http import parse_header_parameters

# These decode any bytes, if necessary to replacement characters. Others raise, such as rot13.
_CHARSETS = {"ascii", "cp1252", "iso8859-1", "utf-8"}
# The modules of Django and psycopg that convert values for the database.
_CONVERTERS = ("django.db.models.fields", "django.db.backends.", "psycopg")


class WSGIRequest(wsgi.WSGIRequest):
    """Django's request, which ignores a Content-Type that Django cannot parse or decode.

    Django parses the header when it creates the request, where an exception passes all middleware.
    An exception about the charset is raised whenever the form is read, even by error pages.
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
    except LookupError:  # an unknown name, which Django ignores
        return True
    except ValueError:
        return False


class UnstorableValueError(SuspiciousOperation):
    """The database cannot store a value of the request: a 400."""


class CommonMiddleware(common.CommonMiddleware):
    """Django's middleware, which also turns exceptions about unstorable values into a 400.

    Examples are a NUL in a text, an integer of 20 digits or the year 0, if no form or serializer
    has validated them, as in the filters of the admin.
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Raise UnstorableValueError if such a value caused the exception of the view."""
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
