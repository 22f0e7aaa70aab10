from django.apps import AppConfig


class RuntimeConfig(AppConfig):
    name = "{{ cookiecutter.project_slug }}.runtime"

    def ready(self) -> None:
        from .throttling import checks  # noqa: F401 - importing it registers them
