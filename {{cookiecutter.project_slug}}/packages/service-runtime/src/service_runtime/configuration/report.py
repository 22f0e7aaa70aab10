"""The values in force, and where each comes from."""

from typing import Any, NamedTuple

from ..environment import Environment
from .masking import masked
from .table import GROUPS
from .variable import Variable

OWN = "This service"  # the group of variables that only the service's settings.py reads
SETTINGS = "settings.py"
_TYPES = {"Boolean": "boolean", "Integer": "integer", "Float": "number", "List": "list"}
_UNSET = {"": "default", SETTINGS: SETTINGS}


class Row(NamedTuple):
    """A variable with its value in force."""

    variable: Variable
    value: Any  # without secrets; None if it is invalid
    source: str
    error: str  # empty if the value is valid


def groups(env: Environment) -> dict[str, list[Variable]]:
    """Return the variables of an environment by group; the last group is `OWN`.

    A pattern is replaced by the variables that it describes.
    """
    found = {
        group: [each for variable in variables for each in _expanded(env, variable)]
        for group, variables in GROUPS.items()
    }
    known = {variable.name for variables in found.values() for variable in variables}
    own = sorted(env.fields.keys() - known)
    return {**found, OWN: [_own(env, name) for name in own]}


def _expanded(env: Environment, variable: Variable) -> list[Variable]:
    if not variable.prefix:
        return [variable]
    names = env.values.keys() | env.fields.keys()  # read with success, or at all
    found = sorted(name for name in names if name.startswith(variable.prefix))
    return [variable._replace(name=name, derived=SETTINGS) for name in found]


def _own(env: Environment, name: str) -> Variable:
    """Describe a variable of the service by its field, and the metadata given to it."""
    field = env.fields[name]
    found: dict[str, Any] = {
        "meaning": "",
        "type": _TYPES.get(type(field).__name__, ""),
        "secret": env.is_secret(name) and not name.endswith("_URL"),
        **field.metadata,
    }
    variable = Variable(name, **found)
    if variable.default or not isinstance(field.load_default, bool | int | float | str):
        return variable
    return variable._replace(default=masked(variable, field.load_default))


def report(env: Environment, settings: Any = None) -> dict[str, list[Row]]:
    """Return the values in force by group.

    Args:
        env: the environment of the settings.
        settings: the settings, which can override values; None if they are invalid.
    """
    return {
        group: [_row(env, variable, settings) for variable in variables]
        for group, variables in groups(env).items()
    }


def _row(env: Environment, variable: Variable, settings: Any) -> Row:
    name = variable.name
    value = env.values.get(name, variable.default)
    source = env.source(name) or _UNSET.get(variable.derived, "derived")
    if settings is not None and getattr(settings, name, value) != value:
        value, source = getattr(settings, name), SETTINGS
    error = env.errors.get(name) or env.errors.get(f"{name}_FILE", "")
    return Row(variable, None if error else masked(variable, value), source, error)
