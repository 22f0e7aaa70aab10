import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import run_checks
from django.core.management.base import BaseCommand, CommandError

from ...configuration import GROUPS
from ...configuration.checks import misspelt
from ...configuration.documents import updated
from ...configuration.report import OWN, Row, groups, report
from ...environment import Environment, closest


class Command(BaseCommand):
    help = "Print each variable with its value in force and its source; secrets are masked."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "names", nargs="*", metavar="NAME", help="only these variables, with their meaning"
        )
        parser.add_argument("--json", action="store_true", help="machine-readable")
        parser.add_argument(
            "--update",
            metavar="FILE",
            nargs="+",
            help="write the tables between <!-- variables: GROUP --> and <!-- end --> in documents",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        env = Environment.in_force
        if env is None:
            raise CommandError("The settings were not loaded far enough to read the environment.")
        if options["update"]:
            for name in options["update"]:
                self._update(Path(name), env)
            return
        found = report(env, settings if apps.ready else None)
        if names := options["names"]:
            found = _selected(found, names)
        if apps.ready:
            messages = run_checks(tags=["configuration", "throttling"])
            warnings = [f"{each.id}: {each.msg}" for each in messages if not each.is_silenced()]
        else:
            warnings = list(misspelt(env))
        lists = {"errors": list(env.errors.values()), "warnings": warnings}
        if options["json"]:
            rows = {group: [_as_json(row) for row in found[group]] for group in found}
            self.stdout.write(json.dumps({"groups": rows, **lists}, indent=2))
        else:
            self._print(found, lists, with_meaning=bool(names))

    def _update(self, path: Path, env: Environment) -> None:
        documented = {**GROUPS, OWN: groups(env)[OWN]}
        try:
            text = updated(path.read_text(encoding="utf-8"), documented)
        except KeyError as error:
            raise CommandError(
                f"{path}: {error} is not a group. The groups are {', '.join(documented)}."
            ) from None
        path.write_text(text, encoding="utf-8")

    def _print(
        self, found: dict[str, list[Row]], lists: dict[str, list[str]], *, with_meaning: bool
    ) -> None:
        width = max((len(row.variable.name) for rows in found.values() for row in rows), default=0)
        for group, rows in found.items():
            self.stdout.write(f"{group}")
            for row in rows:
                variable, value = row.variable, "invalid" if row.error else _as_text(row.value)
                self.stdout.write(f"  {variable.name:<{width}}  {value}  [{row.source}]")
                if with_meaning:
                    default = variable.described_default or "none"
                    self.stdout.write(f"      {variable.meaning}")
                    self.stdout.write(f"      {variable.described_type}; default: {default}")
            self.stdout.write("")
        for title, lines in lists.items():
            if lines:
                self.stdout.write(title.capitalize())
                self.stdout.write("".join(f"  {line}\n" for line in lines))


def _selected(found: dict[str, list[Row]], names: list[str]) -> dict[str, list[Row]]:
    known = {row.variable.name for rows in found.values() for row in rows}
    for name in names:
        if name not in known:
            similar = closest(name, known)
            hint = f" Did you mean {similar}?" if similar else ""
            raise CommandError(f"{name} is not a variable of this service.{hint}")
    selected = {
        group: [row for row in rows if row.variable.name in names] for group, rows in found.items()
    }
    return {group: rows for group, rows in selected.items() if rows}


def _as_json(row: Row) -> dict[str, Any]:
    variable = row.variable
    return {
        "name": variable.name,
        "value": row.value,
        "source": row.source,
        "error": row.error or None,
        "type": variable.described_type,
        "default": variable.described_default,
        "meaning": variable.meaning,
    }


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_as_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={_as_text(item)}" for name, item in value.items())
    text = "" if value is None else str(value)
    return text if text.isprintable() else repr(text)
