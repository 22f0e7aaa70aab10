"""Replace python-json-logger's formatter with the runtime's."""

import pythonjsonlogger.json
import service

POSITIONS = ("fmt", "datefmt", "style", "validate")


def pytest_configure(config) -> None:
    if not service.NAME:
        return
    from service_runtime.logging import JsonFormatter as Base

    class JsonFormatter(Base):
        """The runtime's formatter with python-json-logger's arguments and exception field."""

        def __init__(self, *args, **options):
            options |= zip(POSITIONS, args, strict=False)
            names = {
                "exception.stacktrace": "exc_info",
                **(options.pop("rename_fields", None) or {}),
            }
            super().__init__("peers", "1", rename_fields=names, **options)

    pythonjsonlogger.json.JsonFormatter = JsonFormatter
