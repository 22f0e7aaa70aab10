"""Create a release of the template, or print the notes of one.

    python scripts/release.py create 0.2.0     # date, bump, commit and tag; `make release` runs it
    python scripts/release.py notes v0.2.0     # its CHANGELOG section; the release workflow runs it

Both work on the repository in the current directory, and neither needs a network.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

CHANGELOG = Path("CHANGELOG.md")
PYPROJECT = Path("pyproject.toml")
NUMBER = r"(0|[1-9][0-9]*)"
# https://semver.org, without pre-releases and build metadata: the template publishes neither.
VERSION = re.compile(rf"{NUMBER}\.{NUMBER}\.{NUMBER}")
PYPROJECT_VERSION = re.compile(r'^version = ".*"$', re.MULTILINE)
COMPARE_LINK = re.compile(r"^\[Unreleased\]: (\S+)/compare/(\S+)\.\.\.HEAD$", re.MULTILINE)


class RejectedError(Exception):
    """A release that cannot be created, with the reason and the next step in one sentence."""


def git(*arguments: str) -> str:
    """Run git and return its output; raise RejectedError with its message when it fails."""
    result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        reason = " ".join((result.stderr or result.stdout).split()) or "no message"
        raise RejectedError(
            f"git {arguments[0]} failed ({reason}): nothing was changed; fix that, then run make "
            "release again."
        )
    return result.stdout.strip()


def parse(text: str) -> tuple[int, ...] | None:
    """Return a version as numbers that compare, or None when it is not MAJOR.MINOR.PATCH."""
    match = VERSION.fullmatch(text)
    return tuple(map(int, match.groups())) if match else None


def current_version() -> str:
    """Return the version in pyproject.toml."""
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]


def section(title: str) -> str:
    """Return the text under a heading of the CHANGELOG, or "" when there is no such heading."""
    pattern = rf"^## \[{re.escape(title)}\].*\n((?:(?!## |\[.+\]: ).*\n)*)"
    match = re.search(pattern, CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1].strip() if match else ""


def check(version: str) -> None:
    """Raise RejectedError unless the version can be released from the current commit."""
    tags = [tag.removeprefix("v") for tag in git("tag", "--list", "v*").split()]
    last = max(filter(parse, [current_version(), *tags]), key=parse, default="0.0.0")
    major, minor, patch = parse(last)
    choices = f"{major}.{minor}.{patch + 1}, {major}.{minor + 1}.0 or {major + 1}.0.0"
    number = parse(version)
    if number is None:
        raise RejectedError(
            f"VERSION={version!r} is not MAJOR.MINOR.PATCH: choose {choices}, as in make release "
            f"VERSION={major}.{minor + 1}.0."
        )
    if number <= parse(last):
        raise RejectedError(
            f"VERSION={version} is not greater than the last release, {last}: choose {choices}."
        )
    if changed := git("status", "--porcelain").splitlines():
        raise RejectedError(
            f"{changed[0].split(maxsplit=1)[1]} is not committed, and a release needs a clean "
            "working tree: commit, stash or ignore it."
        )
    if not re.search(r"^(?!#)\S", section("Unreleased"), re.MULTILINE):
        raise RejectedError(
            "CHANGELOG.md has no text under [Unreleased], which would be the notes of "
            f"{version}: describe what changed there, and commit it."
        )
    if not COMPARE_LINK.search(CHANGELOG.read_text(encoding="utf-8")):
        raise RejectedError(
            "CHANGELOG.md has no link [Unreleased]: …/compare/…...HEAD at its end, from which the "
            f"link of {version} is derived: add it, and commit it."
        )


def edit(version: str) -> None:
    """Date the CHANGELOG's section, start an empty one, and bump the version in pyproject.toml."""
    heading = f"## [Unreleased]\n\n## [{version}] - {datetime.now(UTC):%Y-%m-%d}"
    text = CHANGELOG.read_text(encoding="utf-8").replace("## [Unreleased]", heading, 1)
    links = rf"[Unreleased]: \1/compare/v{version}...HEAD\n[{version}]: \1/compare/\2...v{version}"
    CHANGELOG.write_text(COMPARE_LINK.sub(links, text), encoding="utf-8")
    text = PYPROJECT.read_text(encoding="utf-8")
    text = PYPROJECT_VERSION.sub(f'version = "{version}"', text, count=1)
    PYPROJECT.write_text(text, encoding="utf-8")


def create(version: str) -> str:
    """Commit and tag a release; on any failure restore the commit and the files of before."""
    check(version)
    before = git("rev-parse", "HEAD")
    try:
        edit(version)
        git("commit", "--all", "--quiet", "--message", f"Release {version}")
        git("tag", "--annotate", f"v{version}", "--message", f"Release {version}")
    except BaseException:
        git("reset", "--quiet", "--hard", before)
        raise
    branch = git("branch", "--show-current") or "HEAD"
    return f"v{version} is tagged. Publish it: git push --atomic origin {branch} v{version}"


def notes(tag: str) -> str:
    """Return the notes of a tagged release; raise RejectedError unless the files agree with it."""
    version = current_version()
    if tag != f"v{version}":
        raise RejectedError(
            f"tag {tag} does not match version {version} in pyproject.toml: delete the tag, and "
            "create the release with make release."
        )
    if not (text := section(version)):
        raise RejectedError(
            f"CHANGELOG.md has no text under [{version}], which would be the notes of {tag}: "
            "delete the tag, and create the release with make release."
        )
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    for function, argument in [(create, "version"), (notes, "tag")]:
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.add_argument("value", metavar=argument)
        command.set_defaults(function=function)
    arguments = parser.parse_args()
    try:
        print(arguments.function(arguments.value))
    except RejectedError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
