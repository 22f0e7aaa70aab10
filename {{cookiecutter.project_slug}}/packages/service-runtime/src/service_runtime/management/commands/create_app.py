import shutil
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from typing import Any

import inflection
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ..new_app import NewApp
from ..new_app.insertion import DuplicateItemError, Line, NoPlaceError, insert


class Command(BaseCommand):
    help = (
        "Create an app with a model, its migration, a cached and throttled API, admin pages and"
        " tests, and install it in settings.py and urls.py (docs/adding-an-app.md)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="name of its package, such as orders")
        parser.add_argument("--model", help="name of its model (default: as for orders, Order)")

    def handle(self, *args: Any, name: str, model: str | None, **options: Any) -> None:
        urls = import_module(settings.ROOT_URLCONF)
        package, folder = urls.__package__ or "", Path(urls.__file__ or "").parent
        model = model or inflection.camelize(inflection.singularize(name))
        app = NewApp(name, model, package, folder)
        if rule := app.name_error():
            raise CommandError(f"{name!r} cannot be the name of an app: {rule}.")
        if rule := app.model_error():
            raise CommandError(
                f"{model!r} cannot be the name of a model: {rule}."
                f" Choose one: make app NAME={name} MODEL=..."
            )
        edited, by_hand = _insert(app.lines())
        _write({**app.files(), **edited}, folder / name)
        if by_hand:
            raise CommandError("\n".join(_instructions(app, by_hand)))
        self.stdout.write(f"Created {package}.{name} with the model {model}, served at {app.url}")


def _insert(lines: list[Line]) -> tuple[dict[Path, str], list[Line]]:
    """Return the new text of each file, and the lines that have no place in their file."""
    edited: dict[Path, str] = {}
    by_hand = []
    for line in lines:
        try:
            text = edited.get(line.file) or line.file.read_text(encoding="utf-8")
            edited[line.file] = insert(text, line)
        except DuplicateItemError:
            raise CommandError(
                f"{line.name} in {line.file.name} has the item {line.code} already: remove it, or"
                " choose another name."
            ) from None
        except (NoPlaceError, FileNotFoundError):
            by_hand.append(line)
    return edited, by_hand


def _write(files: dict[Path, str], folder: Path) -> None:
    """Write all files. If one cannot be written, remove the folder and restore the others."""
    former = {path: path.read_text(encoding="utf-8") for path in files if path.exists()}
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        for path, text in former.items():
            if path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
        raise CommandError(f"No app was created: {error}.") from None


def _instructions(app: NewApp, by_hand: list[Line]) -> list[str]:
    """Return how to install an app that is only partly installed."""
    return [
        f"{app.package}.{app.name} was created, but is not installed. Add by hand:",
        *(f"    to {line.name} in {line.file.name}: {line.code}" for line in by_hand),
    ]
