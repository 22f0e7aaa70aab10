"""A new app of a service: its files, and the lines that install it.

`manage.py create_app` writes them. A name that another part of the service uses is rejected.
"""

import importlib.util
import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

import inflection
from django.apps import apps
from django.urls import Resolver404, resolve

from ...conf import settings
from .insertion import Line

__all__ = ["NewApp"]

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
MODEL = re.compile(r"[A-Z][A-Za-z0-9]*")
MAX_LENGTH = 30
SUFFIX = ".py-tpl"
TEMPLATES = {
    str(path.relative_to(folder)).removesuffix(SUFFIX): path.read_text(encoding="utf-8")
    for folder in [Path(__file__).parent / "template"]
    for path in sorted(folder.rglob(f"*{SUFFIX}"))
}


@dataclass(frozen=True)
class NewApp:
    """An app that does not exist yet.

    Attributes:
        name: the name of its package, such as `orders`.
        model: the name of its model, such as `Order`.
        package: the service's package, which will contain the app.
        folder: the folder of that package.
    """

    name: str
    model: str
    package: str
    folder: Path

    @property
    def url(self) -> str:
        """The path of its list."""
        return f"{settings.API_PREFIX}{self.name.replace('_', '-')}/"

    def name_error(self) -> str | None:
        """Return the rule that the name violates, or None."""
        if not NAME.fullmatch(self.name) or len(self.name) > MAX_LENGTH:
            return (
                "it must be lower-case letters and digits, in words joined by single underscores,"
                f" start with a letter and have at most {MAX_LENGTH} characters"
            )
        if keyword.iskeyword(self.name):
            return "it is a Python keyword"
        if any((self.folder / name).exists() for name in (self.name, f"{self.name}.py")):
            return f"{self.package}.{self.name} exists already"
        if self.name in {config.label for config in apps.get_app_configs()}:
            return "it is the label of an installed app"
        if self.name != self.package and _is_module(self.name):
            return "it is the name of a Python module"
        if _is_route(self.url):
            return f"the service has the path {self.url} already"
        return None

    def model_error(self) -> str | None:
        """Return the rule that the model's name violates, or None."""
        if not MODEL.fullmatch(self.model) or len(self.model) > MAX_LENGTH:
            return (
                "it must be letters and digits, start with a capital letter and have at most"
                f" {MAX_LENGTH} characters"
            )
        if keyword.iskeyword(self.model):
            return "it is a Python keyword"
        if self.model in {model.__name__ for model in apps.get_models()}:
            return "another app has a model of this name"
        if any(re.search(rf"\b{self.model}\b", text) for text in TEMPLATES.values()):
            return "the app's code uses the name for something else"
        return None

    def files(self) -> dict[Path, str]:
        """Return the text of each file, by its path."""
        item = inflection.underscore(self.model)
        one = item.replace("_", " ")
        values = {
            "admin": self.model.lower(),
            "config": f"{inflection.camelize(self.name)}Config",
            "item": item,
            "many": inflection.pluralize(one).capitalize(),
            "model": self.model,
            "module": f"{self.package}.{self.name}",
            "name": self.name,
            "one": one,
            "route": self.url.removeprefix(settings.API_PREFIX),
            "url": self.url,
        }
        packages = {f"{folder}__init__": "" for folder in ("", "migrations/", "tests/")}
        return {
            self.folder / self.name / f"{path}.py": Template(text).substitute(values)
            for path, text in (packages | TEMPLATES).items()
        }

    def lines(self) -> list[Line]:
        """Return the lines that install the app."""
        module = f"{self.package}.{self.name}"
        to, urls = self.folder / "settings.py", self.folder / "urls.py"
        own = f"{self.package}."
        prefix = settings.API_PREFIX.removeprefix("/")
        return [
            Line(to, "INSTALLED_APPS", f'"{module}",', after=own),
            Line(to, "THROTTLE_RATES", f'"{self.name}_limit": "100/hour",'),
            Line(to, "CACHEOPS", f'"{self.name}.*": {{"ops": (), "timeout": 60 * 10}},'),
            Line(urls, "urlpatterns", f'path("{prefix}", include("{module}.urls")),', after=own),
        ]


def _is_module(name: str) -> bool:
    """Return whether a module can be imported by the name; a folder without code does not count."""
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None


def _is_route(path: str) -> bool:
    try:
        return resolve(path).route == path.removeprefix("/")
    except Resolver404:
        return False
