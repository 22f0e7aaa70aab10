"""Put the service's formatter in the place of python-json-logger's."""

import pythonjsonlogger.json
import service


def pytest_configure(config) -> None:
    if not service.NAME:
        return
    own = service.load("runtime.logging").JsonFormatter

    class JsonFormatter(own):
        """The service's formatter, with what it needs and python-json-logger's has not."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, service="peers", version="1", **kwargs)

    pythonjsonlogger.json.JsonFormatter = JsonFormatter
