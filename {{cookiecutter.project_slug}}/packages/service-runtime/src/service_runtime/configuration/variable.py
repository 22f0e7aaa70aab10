"""The description of an environment variable, and the settings that variables become."""

from collections.abc import Callable
from typing import Any, NamedTuple

from environs import validate

from ..conf import Defaults


class EnvironmentSettings(Defaults):
    """The settings of the runtime, and those of Django that depend on the environment."""

    SECRET_KEY: str = ""
    SECRET_KEY_FALLBACKS: list[str]  # former keys, accepted while SECRET_KEY is rotated
    ALLOWED_HOSTS: list[str]
    CSRF_TRUSTED_ORIGINS: list[str]
    CORS_ALLOWED_ORIGINS: list[str]
    SECURE_SSL_REDIRECT: bool
    SECURE_HSTS_SECONDS: int = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS: bool = False
    SECURE_HSTS_PRELOAD: bool = False
    SECURE_PROXY_SSL_HEADER: tuple[str, str] | None


class Variable(NamedTuple):
    """An environment variable. Its type and default are those of the setting of its name."""

    name: str  # THROTTLE_<SCOPE> describes every variable that begins with THROTTLE_
    meaning: str
    rule: Callable[[Any], Any] | None = None  # validates the value
    parse: Callable[[str], Any] | None = None  # parses an item of a comma-separated list
    unit: str = ""
    derived: str = ""  # describes a default that depends on other values
    type: str = ""  # unless a setting has the name
    default: Any = ""  # likewise
    secret: bool = False

    @property
    def prefix(self) -> str:
        """The start of the names that a pattern describes; empty for a single variable."""
        start, is_pattern, _ = self.name.partition("<")
        return start if is_pattern else ""

    @property
    def described_type(self) -> str:
        """The type, with the unit of a number or the values to choose from, in Markdown."""
        if isinstance(self.rule, validate.OneOf):
            return ", ".join(f"`{choice}`" for choice in self.rule.choices)
        if self.parse:
            return "list"
        kind = self.type or _of_name(_KINDS, self.name) or _TYPES.get(type(self._default()), "text")
        unit = self.unit or _of_name(_UNITS, self.name)
        return f"{kind}, {unit}" if unit else kind

    @property
    def described_default(self) -> str:
        """The default in Markdown."""
        if self.derived:
            return self.derived
        default = self._default()
        if isinstance(default, bool):
            default = str(default).lower()
        if isinstance(default, float):
            default = f"{default:g}"
        return "" if default in ("", [], {}, None) else f"`{default}`"

    def _default(self) -> Any:
        return getattr(EnvironmentSettings, self.name, self.default)


def _of_name(suffixes: dict[str, str], name: str) -> str:
    return next((found for suffix, found in suffixes.items() if name.endswith(suffix)), "")


_KINDS = {"_URL": "URL"}
_UNITS = {"_SECONDS": "seconds", "_TIMEOUT": "seconds", "_BYTES": "bytes"}
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "text"}
