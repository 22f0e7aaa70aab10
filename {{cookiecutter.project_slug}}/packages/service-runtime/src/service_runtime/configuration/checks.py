"""Django system checks of the names of variables: a misspelt one has no effect."""

import logging
from collections.abc import Iterator
from typing import Any

from django.core import checks

from ..conf import settings
from ..environment import Environment, closest
from .report import groups

# The scopes and loggers that these name are checked, not the variables. The libraries of
# OpenTelemetry read many variables of their own.
OTHERS = ("THROTTLE_", "LOG_LEVEL_", "OTEL_")


@checks.register("configuration")
def check_names(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report variables that are not read, but close to one that is."""
    env = Environment.in_force
    found = [*(misspelt(env) if env else ()), *misspelt_loggers()]
    return [checks.Warning(message, id="configuration.W001") for message in found]


def misspelt(env: Environment) -> Iterator[str]:
    """Yield a sentence for each variable that is not read, but close to one that is.

    An environment also has many variables of other programs.
    """
    known = {variable.name for group in groups(env).values() for variable in group}
    for name in env.names(""):
        if name not in known and not name.startswith(OTHERS) and (similar := closest(name, known)):
            yield f"{name} has no effect: did you mean {similar}?"


def misspelt_loggers() -> Iterator[str]:
    """Yield a sentence for each LOG_LEVEL_<LOGGER> that is close to a package with loggers.

    A logger can also appear later, with its first line.
    """
    loggers = logging.root.manager.loggerDict.items()  # with placeholders of parents
    existing = {name for name, logger in loggers if isinstance(logger, logging.Logger)}
    known = {f"LOG_LEVEL_{_package(name)}" for name in existing - settings.LOG_LEVELS.keys()}
    for name in settings.LOG_LEVELS:
        chosen = f"LOG_LEVEL_{_package(name)}"
        if chosen not in known and (similar := closest(chosen, known)):
            rest = name.upper().replace(".", "__").removeprefix(_package(name))
            yield f"{chosen}{rest} has no effect: did you mean {similar}{rest}?"


def _package(logger: str) -> str:
    return logger.partition(".")[0].upper()
