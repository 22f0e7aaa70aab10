"""Apply the template's changes since the last update, and describe them for a pull request.

`make update` runs this with the tools of the dependency group `update`. It updates to the latest
release of the template, or to its latest commit while there is no release. Edits of the service
stay. Where they conflict with a change of the template, the change is left in a file `*.rej`: a
patch that would take the template's side.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

STATE = Path(".cruft.json")
LOCK = Path("uv.lock")
WORKFLOWS = ".github/workflows"
WORKFLOWS_PATCH = Path("workflows.patch")
RELEASE = re.compile(r"refs/tags/(v\d+\.\d+\.\d+)$", re.MULTILINE)
State = dict[str, Any]


def git(*arguments: str | Path, cwd: Path | None = None) -> bytes:
    """Run git and return its output."""
    command = ["git", *arguments]
    return subprocess.run(command, check=True, cwd=cwd, stdout=subprocess.PIPE).stdout


def names(command: str, *arguments: str) -> list[str]:
    """Return the file names that a git command prints."""
    return git(command, "-z", *arguments).decode().split("\0")[:-1]


def read_state() -> State:
    """Return the template's address, and the commit and the values of the last update."""
    state: State = json.loads(STATE.read_text(encoding="utf-8"))
    return state


def latest_release(template: str) -> str | None:
    """Return the tag of the template's latest release, if there is one."""
    tags = git("ls-remote", "--tags", "--refs", "--sort=-version:refname", template)
    found = RELEASE.search(tags.decode())
    return found[1] if found else None


def commit_renderings(scratch: Path, state: State) -> tuple[Path, State]:
    """Commit what the template generates as of the last update, and then as of now.

    Returns:
        The repository with the two commits, and the new state.
    """
    values = {
        name: value
        for name, value in state["context"]["cookiecutter"].items()
        if not name.startswith("_")
    }
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    skipped = state.get("skip", []) + settings["tool"].get("cruft", {}).get("skip", [])
    command = ["cruft", "create", "--no-input", "--output-dir", scratch, state["template"]]
    command += ["--checkout", state["commit"], "--extra-context", json.dumps(values)]
    if state.get("directory"):
        command += ["--directory", state["directory"]]
    subprocess.run([*command, *(f"--skip={path}" for path in skipped)], check=True)
    (repository,) = scratch.iterdir()

    git("init", "--quiet", cwd=repository)
    (repository / ".git/info/exclude").write_text(f"{STATE}\n")
    commit(repository)
    release = latest_release(state["template"])
    # --not-strict: a service that is newer than the release stays as it is.
    command = ["cruft", "update", "--skip-apply-ask", "--not-strict"]
    command += ["--checkout", release] if release else []
    subprocess.run(command, check=True, cwd=repository)
    commit(repository)
    new = json.loads((repository / STATE).read_text(encoding="utf-8"))
    return repository, {name: value for name, value in new.items() if name != "skip"}


def commit(repository: Path) -> None:
    """Commit all files of a repository."""
    git("add", "--all", "--force", ".", f":!{STATE}", cwd=repository)
    author = ["-c", "user.name=update", "-c", "user.email=update@localhost"]
    git(*author, "commit", "--quiet", "--allow-empty", "--message", "Template", cwd=repository)


def apply_changes(state: State) -> bool:
    """Merge the template's changes into the service; return whether there are any."""
    with tempfile.TemporaryDirectory() as scratch:
        repository, new = commit_renderings(Path(scratch), state)
        if new["commit"] == state["commit"]:
            return False
        git("fetch", "--quiet", repository, "HEAD")
    merge = ["git", "merge-recursive", "FETCH_HEAD^", "--", "HEAD", "FETCH_HEAD"]
    result = subprocess.run(merge, check=False, stdout=subprocess.DEVNULL)
    if result.returncode > 1:  # 1: there are conflicts
        result.check_returncode()
    new |= {"skip": state["skip"]} if "skip" in state else {}
    STATE.write_text(json.dumps(new, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    reject_conflicts()
    return True


def reject_conflicts() -> None:
    """Replace conflict markers: the service's side stays, the template's becomes a patch."""
    for name in names("diff", "--name-only", "--diff-filter=U"):
        path = Path(name)
        service, template = sides(name)
        write(path, service)
        git("add", "--all", "--", name)
        if service is not None:  # else the team has deleted the file
            write(path, template)
            write(path.with_name(f"{path.name}.rej"), git("diff", "--", name))
            write(path, service)


def sides(name: str) -> tuple[bytes | None, bytes | None]:
    """Merge a file with a conflict; return it with the service's and with the template's lines.

    None stands for a file that one side has deleted.
    """
    stages = git("checkout-index", "--stage=all", "--temp", "--", name).decode()
    # git prints a dot for a stage that does not exist.
    parts = [None if part == "." else Path(part) for part in stages.partition("\t")[0].split()]
    base, ours, theirs = parts
    try:
        if not ours or not theirs:
            return read(ours), read(theirs)
        merge: list[str | Path] = ["merge-file", "-p", ours, base or os.devnull, theirs]
        return git(*merge, "--ours"), git(*merge, "--theirs")
    finally:
        for part in filter(None, parts):
            part.unlink()


def read(path: Path | None) -> bytes | None:
    """Read a file, if there is one."""
    return path.read_bytes() if path else None


def write(path: Path, content: bytes | None) -> None:
    """Write a file, or delete it."""
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)


def rejected() -> list[str]:
    """Return the names of the files with rejected changes."""
    return sorted(names("ls-files", "--others", "--exclude-standard", "--", "*.rej"))


def leave_out_workflows() -> None:
    """Move changes of workflows to a patch."""
    git("add", "--all", "--", WORKFLOWS)
    if patch := git("diff", "--cached", "--binary", "--", WORKFLOWS):
        WORKFLOWS_PATCH.write_bytes(patch)
        git("apply", "--index", "--reverse", WORKFLOWS_PATCH)


def lock() -> str:
    """Lock the dependencies again; return the error if that fails."""
    if not LOCK.exists():
        return ""
    command = [os.environ.get("UV", "uv"), "lock", "--quiet"]
    result = subprocess.run(command, check=False, stderr=subprocess.PIPE, encoding="utf-8")
    return result.stderr if result.returncode else ""


def web_address(template: str) -> str:
    """Return the address of the template's repository in a browser."""
    return re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"https://\1/", template).removesuffix(".git")


def describe(old: State, new: State, rejects: list[str], lock_error: str) -> str:
    """Return the text of a pull request in Markdown."""
    page = web_address(new["template"])
    versions = [state.get("checkout") or state["commit"][:12] for state in (old, new)]
    parts = [
        f"The changes of [the template]({page}) from {versions[0]} to {versions[1]}:"
        f" [CHANGELOG]({page}/blob/{new['commit']}/CHANGELOG.md),"
        f" [all changes]({page}/compare/{old['commit']}...{new['commit']})."
        ' Do what the "Upgrade notes" of these versions say.'
    ]
    if WORKFLOWS_PATCH.exists():
        parts.append(
            "**Workflows are left out**, since GitHub does not accept changes of workflows from"
            " this token. Apply them on this branch:\n\n"
            f"    git apply --index {WORKFLOWS_PATCH} && git rm {WORKFLOWS_PATCH}"
        )
    if rejects:
        parts.append(
            "**Rejected changes** conflict with edits of the service. Apply what each file contains"
            " by hand, and delete the file:\n\n" + "\n".join(f"- `{name}`" for name in rejects)
        )
    if lock_error:
        parts.append(f"**`uv lock` has failed.** Run it again:\n\n```\n{lock_error.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Update the service in the current folder."""
    parser = argparse.ArgumentParser(prog="make update ARGS=…")
    parser.add_argument("--body", type=Path, help="file for the description; default: stdout")
    parser.add_argument("--without-workflows", action="store_true", help="leave them in a patch")
    arguments = parser.parse_args()
    if not STATE.exists():
        sys.exit("This service does not know its template: run `cruft link <address>`, and commit.")
    if git("status", "--porcelain"):
        sys.exit("There are changes in the working tree: commit them first.")
    state = read_state()
    if not apply_changes(state):
        return
    rejects = rejected()
    if arguments.without_workflows:
        leave_out_workflows()
    body = describe(state, read_state(), rejects, lock())
    if arguments.body:
        arguments.body.write_text(body, encoding="utf-8")
    else:
        sys.stdout.write(body)


if __name__ == "__main__":
    main()
