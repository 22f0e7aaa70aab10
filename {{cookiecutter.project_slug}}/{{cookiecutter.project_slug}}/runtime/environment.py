"""Reads the process environment and reports everything that is wrong with it at once."""

import ipaddress
import os
import re
from typing import cast
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environs import EnvValidationError, FileAwareEnv, ValidationError

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


def validate_redis_url(url: str) -> None:
    """Accept `redis://`, `rediss://` (TLS) and `unix://` URLs, and the empty string for none.

    Raises:
        environs.ValidationError: a sentence with the rule; it never repeats the URL's password.
    """
    if not url:
        return
    try:
        parts = urlsplit(url)
        well_formed = bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    else:
        well_formed = well_formed or (parts.scheme == "unix" and bool(parts.path))
    if not well_formed or parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValidationError(
            "Must look like redis://user:password@host:6379/0 (rediss:// for TLS),"
            " with special characters of the password percent-encoded."
        )


def parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Parse a network such as `10.0.0.0/8`, or a single address.

    Raises:
        environs.ValidationError: a sentence with the text and the rule.
    """
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        raise ValidationError(f"{text!r} is not a network such as 10.0.0.0/8.") from None
