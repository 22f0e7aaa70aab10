from django.apps import AppConfig

from .conf import settings


class RuntimeConfig(AppConfig):
    name = "service_runtime"

    def ready(self) -> None:
        # Imported for their side effects: they register checks and connect signals.
        from . import signals  # noqa: F401
        from .caching import checks as _caching  # noqa: F401
        from .caching import patches
        from .configuration import checks as _configuration  # noqa: F401
        from .fast_path import checks as _fast_path  # noqa: F401
        from .logging import redaction
        from .throttling import checks as _throttling  # noqa: F401

        patches.install()
        redaction.redact(settings.LOG_REDACT)
