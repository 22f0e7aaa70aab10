"""Create users with tokens: `python growth_users.py START STOP`; bench/growth.py runs it."""

import sys
from hashlib import sha256

import django

django.setup()

# ruff: noqa: E402 - these imports need configured settings
from django.contrib.auth import get_user_model
from knox.crypto import hash_token
from knox.models import AuthToken
from knox.settings import CONSTANTS

BATCH = 5000


def main(start, stop):
    for first in range(start, stop, BATCH):
        numbers = range(first, min(first + BATCH, stop))
        model = get_user_model()
        users = model.objects.bulk_create(model(username=f"user {n}") for n in numbers)
        tokens = [sha256(b"%d" % number).hexdigest() for number in numbers]
        AuthToken.objects.bulk_create(
            AuthToken(
                user=user, digest=hash_token(token), token_key=token[: CONSTANTS.TOKEN_KEY_LENGTH]
            )
            for user, token in zip(users, tokens, strict=True)
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
