"""The generated service under test, named by PEERS_SERVICE; unset for the stock classes."""

import os
from importlib import import_module
from typing import Any

from django.conf import global_settings

NAME = os.environ.get("PEERS_SERVICE", "")
APPLICATION = {"CACHEOPS", "REST_FRAMEWORK"}


def added_settings() -> dict[str, Any]:
    """Return the settings that the service adds to Django's, such as the runtime's.

    Settings of the suites' own views and models are left out.
    """
    return {
        name: value
        for name, value in vars(import_module(f"{NAME}.settings")).items()
        if name.isupper() and not hasattr(global_settings, name) and name not in APPLICATION
    }
