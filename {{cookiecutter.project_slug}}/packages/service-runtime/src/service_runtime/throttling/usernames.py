"""Limit guesses at each account's password, from any number of addresses.

Requests are counted by a keyed hash of the username. Neither Redis nor a log line has the name, or
a password that was typed in its place. Names without an account are counted too, so a denial does
not reveal which accounts exist.
"""

import unicodedata
from typing import Any

from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.views import APIView

from .throttles import RateThrottle

FIELD = "username"  # in Django's AuthenticationForm and DRF's AuthTokenSerializer, for any model
MAX_LENGTH = 1024  # more than any username has; normalizing longer text takes time


def client_of_username(value: Any) -> str | None:
    """Return the client that a sign-in is counted for; None if the value is not a username.

    Usernames that a form or backend can treat as equal are one client: they differ in case, in
    surrounding space or in Unicode's compatibility forms. Numbers are converted to text, as
    serializers do.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = unicodedata.normalize("NFKC", str(value).strip()[:MAX_LENGTH])
    # Upper case first: it maps a dotless i to I, which case folding does not.
    name = text.upper().casefold().strip()
    if not name:
        return None
    encoded = name.encode("utf-8", "surrogatepass")
    return f"username:#{salted_hmac(__name__, encoded, algorithm='sha256').hexdigest()[:32]}"


def client_of_form(request: HttpRequest) -> str | None:
    """Return the client that a sign-in by Django's form is counted for (`throttled(clients=…)`)."""
    return client_of_username(request.POST.get(FIELD))


class UsernameRateThrottle(RateThrottle):
    """Limit sign-ins by the username in their body."""

    scope = "login_username"
    hidden = True  # a caller must not learn how often others tried the name

    def get_client(self, request: Request, view: APIView) -> str | None:
        """Return a hash of the username; None if the request cannot be a guess."""
        if request.method != "POST" or not hasattr(request.data, "get"):
            return None
        return client_of_username(request.data.get(FIELD))
