import os
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError

from ...environment import Environment

PREFIX = "DJANGO_SUPERUSER_"  # of the variables that Django's createsuperuser reads


class Command(BaseCommand):
    help = (
        "Create the user of DJANGO_SUPERUSER_USERNAME and DJANGO_SUPERUSER_PASSWORD as a superuser,"
        " unless the user exists; other fields, such as DJANGO_SUPERUSER_EMAIL, likewise."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        model: Any = get_user_model()
        env = Environment()
        for name in env.names(PREFIX):  # those with _FILE too
            os.environ[name] = env.str(name)
        env.seal()
        name = self._required(model.USERNAME_FIELD)
        if model._default_manager.filter(**{model.USERNAME_FIELD: name}).exists():
            self.stdout.write(f"The user {name!r} exists already; nothing was changed.")
            return
        for field in map(model._meta.get_field, model.REQUIRED_FIELDS):
            if field.blank:  # Django requires the variable, but not a value
                os.environ.setdefault(PREFIX + field.name.upper(), "")
            else:
                self._required(field.name)
        try:
            validate_password(self._required("password"), model(**{model.USERNAME_FIELD: name}))
            call_command("createsuperuser", interactive=False, verbosity=0)
        except ValidationError as error:
            raise CommandError(f"{PREFIX}PASSWORD: {' '.join(error.messages)}") from None
        except IntegrityError as error:
            if not model._default_manager.filter(**{model.USERNAME_FIELD: name}).exists():
                raise CommandError(f"The user {name!r} was not created: {error}") from None
            self.stdout.write(f"Another process has just created the user {name!r}.")
        else:
            self.stdout.write(f"The superuser {name!r} was created.")

    def _required(self, field: str) -> str:
        variable = PREFIX + field.upper()
        if not (value := os.environ.get(variable)):
            raise CommandError(f"{variable} is not set. It can come from a Secret.")
        return value
