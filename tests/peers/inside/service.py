"""The generated service under test; none while PEERS_SERVICE is not set, for the stock classes."""

import os
from importlib import import_module
from typing import Any

from django.conf import global_settings

NAME = os.environ.get("PEERS_SERVICE", "")
APPLICATION = {"CACHEOPS", "REST_FRAMEWORK"}


def own_settings() -> dict[str, Any]:
    """Return the settings that the service adds to Django's, such as those of its runtime.

    Not those that name its views' classes or its models: the suites have their own.
    """
    return {
        name: value
        for name, value in vars(import_module(f"{NAME}.settings")).items()
        if name.isupper() and not hasattr(global_settings, name) and name not in APPLICATION
    }
