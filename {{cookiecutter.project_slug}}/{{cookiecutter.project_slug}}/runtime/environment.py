"""Reads the process environment and reports everything that is wrong with it at once."""

import os
import re
from typing import cast

from django.core.exceptions import ImproperlyConfigured
from environs import EnvValidationError, FileAwareEnv

_SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|KEY|DSN|_URL$")


class Environment(FileAwareEnv):
    """environs' reader with deferred errors.

    Each variable NAME can also come from a file that NAME_FILE names, which is how Kubernetes and
    Docker mount secrets. Wrong values are collected, so that one start reports them all.
    """

    def __init__(self) -> None:
        super().__init__(eager=False, strip_whitespace=True)

    def _get_value(self, env_key: str, default: object) -> object:
        try:
            return super()._get_value(env_key, default)
        except (OSError, ValueError):  # environs raises ValueError at once, without deferring it
            path = self.variables()[f"{env_key}_FILE"]
            self.reject(f"{env_key}_FILE", f"{path!r} is not a file that this process can read.")
            return default

    def variables(self, prefix: str = "") -> dict[str, str]:
        """Return the variables whose names begin with `prefix`; the process wins over `.env`."""
        merged = {**self._environ, **os.environ}
        return {name: value for name, value in sorted(merged.items()) if name.startswith(prefix)}

    def reject(self, name: str, reason: str) -> None:
        """Record that the variable `name` is wrong, and why, for `seal` to report."""
        self._errors[name].append(reason)

    def seal(self) -> None:
        """End the reading.

        Raises:
            ImproperlyConfigured: a line for each wrong variable. Values are named, secrets are not.
        """
        try:
            super().seal()
        except EnvValidationError as error:
            reasons = cast("dict[str, list[str]]", error.error_messages)
            lines = [self._line(name, reasons[name]) for name in reasons]
            raise ImproperlyConfigured("\n".join(lines)) from None

    def _line(self, name: str, reasons: list[str]) -> str:
        value = self.variables().get(name)
        shown = "" if value is None or _SECRET.search(name) else f" (it is {value[:80]!r})"
        return f"{name}: {' '.join(reasons)}{shown}"
