"""Limits guesses at each account's password, from however many addresses they come.

Requests are counted for a keyed hash of the username, so that neither Redis nor a log line has
the name, nor a password that someone has typed in its place. Names without an account are counted
alike: a denial says nothing about which accounts exist.
"""

import unicodedata
from typing import Any

from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.views import APIView

from .throttles import RateThrottle

FIELD = "username"  # of Django's AuthenticationForm and DRF's AuthTokenSerializer, for any model
MAX_LENGTH = 1024  # no longer text is equal to a username, and normalizing takes time


def client_of_username(value: Any) -> str | None:
    """Return whom a request to sign in is counted for; None for a value that is no username.

    Usernames that a form or a backend may take for the same are one client: they differ in case,
    in surrounding space or in Unicode's compatibility forms. Numbers count as their text, which
    is how serializers read them.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = unicodedata.normalize("NFKC", str(value).strip()[:MAX_LENGTH])
    # Upper case first: a dotless i is an I there, and would stay itself in case folding.
    name = text.upper().casefold().strip()
    if not name:
        return None
    encoded = name.encode("utf-8", "surrogatepass")
    return f"username:#{salted_hmac(__name__, encoded, algorithm='sha256').hexdigest()[:32]}"


def client_of_form(request: HttpRequest) -> str | None:
    """Return whom a sign-in by Django's form is counted for, for `throttled(clients=…)`."""
    return client_of_username(request.POST.get(FIELD))


class UsernameRateThrottle(RateThrottle):
    """Limits requests that sign in, by the username in their body."""

    scope = "login_username"
    # How often others have tried the name is not for the caller to know.
    hidden = True

    def get_client(self, request: Request, view: APIView) -> str | None:
        """Return a hash of the username; None for a request that cannot be a guess."""
        if request.method != "POST" or not hasattr(request.data, "get"):
            return None
        return client_of_username(request.data.get(FIELD))
