"""Read environment variables and report all invalid values at once."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Optional, TypeVar, cast
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from environs import EnvValidationError, FileAwareEnv, ValidationError

from .database import url_fault as database_url_fault
from .logging.redaction import REDACTED, Masked
from .logging.values import text
from .redis import is_cluster, seeds_of, url_fault

T = TypeVar("T")
_SECRET = re.compile(r"SECRET|PASSWORD|PASSWD|PWD|CREDENTIAL|TOKEN|KEY|DSN|_URL$")
_FILE = "_FILE"
_QUOTED = re.compile(r"(['\"])(?:(?:(?!\1)[^\\]|\\.)*+)\1")  # a value that a reason repeats


class Environment(FileAwareEnv):
    """environs' reader with deferred errors: `seal` reports all of them.

    Each variable NAME can also be read from the file that NAME_FILE names, for secrets that
    Kubernetes or Docker mounts.
    """

    # That of the settings: the first to be sealed.
    in_force: ClassVar[Optional["Environment"]] = None

    def __init__(self) -> None:
        super().__init__(eager=False, strip_whitespace=True)
        self.errors: dict[str, str] = {}  # by variable, since `seal`
        self._file = ""

    @property
    def values(self) -> dict[str, Any]:
        """The values in force by variable, including defaults."""
        return self._values

    @property
    def fields(self) -> dict[str, Any]:
        """The marshmallow field of each variable that was read."""
        return self._fields

    def record(self, values: Mapping[str, Any]) -> None:
        """Record values that differ from those read: parsed items, or defaults of scopes."""
        self._values.update(values)

    def is_secret(self, name: str) -> bool:
        """Return whether a variable's value, or a part of its URL, is a secret."""
        field = self._fields.get(name)
        is_declared = field is not None and field.metadata.get("secret")
        return bool(is_declared or _SECRET.search(name))

    def source(self, name: str) -> str | None:
        """Return where a variable is set: the environment or a file; None if it is not set."""
        if path := self._variables().get(name + _FILE):
            return f"{path} ({name}{_FILE})"
        if name in os.environ:
            return "environment"
        return self._file if name in self._environ else None

    def _get_value(self, env_key: str, default: object) -> object:
        try:
            return super()._get_value(env_key, default)
        except (OSError, ValueError):  # environs raises ValueError at once, without deferring it
            path = self._variables()[env_key + _FILE]
            self.reject(env_key + _FILE, f"{path!r} is not a file that this process can read.")
            return default

    def read_file(self, path: Path) -> None:
        """Read variables that are not set from a file, if it exists.

        ENV_FILE names another file, which has to exist.
        """
        self._file = self.str("ENV_FILE", path.name)
        chosen = path.parent / self._file
        if chosen.exists() and not chosen.is_dir():
            self.read_env(chosen, recurse=False)
        elif "ENV_FILE" in os.environ:
            self.reject("ENV_FILE", "Must be the path of a file.")

    def database(self, name: str, default: Path) -> dict[str, Any]:
        """Return an entry of DATABASES for the URL in a variable.

        Args:
            name: the variable.
            default: the SQLite file to use if the variable is not set.
        """
        file: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": default}
        url = self.str(name, None)
        if url is None:
            self.record({name: f"sqlite:///{default}"})
            return file
        if fault := database_url_fault(url):
            self.reject(
                name,
                "Must look like postgres://user:password@host:5432/name or sqlite:///path, with"
                f" special characters of the password percent-encoded. {fault}",
            )
            return file
        return dict(dj_database_url.parse(url))

    def names(self, prefix: str) -> list[str]:
        """Return the variables that start with `prefix`, including those set by a file."""
        names = {name.removesuffix(_FILE) for name in self._variables()}
        return sorted(name for name in names if name.startswith(prefix))

    def items(self, name: str, parse: Callable[[str], T]) -> list[T]:
        """Return the parsed items of a comma-separated variable."""
        parsed = []
        for item in (self.str(name, "") or "").split(","):
            if item := item.strip():
                try:
                    parsed.append(parse(item))
                except ValueError as error:
                    self.reject(name, str(error))
        return parsed

    def reject(self, name: str, reason: str) -> None:
        """Record why the value of a variable is invalid, for `seal` to report."""
        self._errors[name].append(reason)

    def seal(self) -> None:
        """End reading.

        Raises:
            ImproperlyConfigured: one line for each invalid variable, with its value unless it is a
                secret.
        """
        Environment.in_force = Environment.in_force or self
        try:
            super().seal()
        except EnvValidationError as error:
            reasons = cast("dict[str, list[str]]", error.error_messages)
            self.errors = {name: self._line(name, reasons[name]) for name in reasons}
            raise ImproperlyConfigured(Masked("\n".join(self.errors.values()))) from None

    def _variables(self) -> dict[str, str]:
        return {**self._environ, **os.environ}

    def _line(self, name: str, reasons: list[str]) -> str:
        """Return a variable with the reasons why it is invalid.

        Only quoted values in a reason can be secrets. The text around them is a rule, and shows an
        example of a URL.
        """
        value = self._variables().get(name)
        if value is None and (similar := closest(name, self._variables())):
            reasons = [*reasons, f"{similar} is set: did you mean {name}?"]
        is_secret = self.is_secret(name) and not name.endswith(_FILE)
        reason = _QUOTED.sub(
            lambda quoted: repr(REDACTED) if is_secret else text(quoted[0]), " ".join(reasons)
        )
        shown = "" if value is None or is_secret else f" (it is {text(value)[:80]!r})"
        return f"{name}: {reason}{shown}"


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name of which `name` can be a misspelling."""
    # Many names are close to a short one, as PORT0 is to PORT.
    found = get_close_matches(name, [one for one in known if len(one) > 7], 1, 0.85)
    return found[0] if found else None


def validate_redis_url(url: str) -> None:
    """Accept `redis://`, `rediss://` (TLS) and `unix://` URLs, and the empty string for none.

    Raises:
        environs.ValidationError: the rule; it never repeats the URL's password.
    """
    if not url:
        return
    if is_cluster(url):
        raise ValidationError(
            "Must be the URL of one server. Only THROTTLING_REDIS_URL can name a Redis Cluster."
        )
    if fault := url_fault(url):
        raise ValidationError(
            "Must look like redis://user:password@host:6379/0 (rediss:// for TLS),"
            f" with special characters of the password percent-encoded. {fault}"
        )


def validate_throttling_redis_url(url: str) -> None:
    """Accept also `redis+cluster://` and `rediss+cluster://` URLs, with one or more hosts.

    Raises:
        environs.ValidationError: the rule; it never repeats the URL's password.
    """
    if not is_cluster(url):
        validate_redis_url(url)
        return
    try:
        for seed in seeds_of(url):
            validate_redis_url(seed)
        well_formed = urlsplit(url).path in {"", "/", "/0"}
    except (ValidationError, ValueError):
        well_formed = False
    if not well_formed:
        raise ValidationError(
            "Must look like redis+cluster://user:password@host:6379,host:6379 (rediss+cluster://"
            " for TLS), without a database, with special characters of the password"
            " percent-encoded."
        )


def validate_file(path: str) -> None:
    """Accept the path of a file, and the empty string for none.

    Raises:
        environs.ValidationError: the rule.
    """
    if path and not Path(path).is_file():
        raise ValidationError("Must be the path of a file.")
