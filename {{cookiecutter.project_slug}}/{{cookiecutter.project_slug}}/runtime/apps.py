from django.apps import AppConfig


class RuntimeConfig(AppConfig):
    name = "{{ cookiecutter.project_slug }}.runtime"

    def ready(self) -> None:
        # Importing them registers the checks.
        from .caching import checks as _caching  # noqa: F401
        from .throttling import checks as _throttling  # noqa: F401
