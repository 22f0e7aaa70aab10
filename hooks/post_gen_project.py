"""Finish a service: prune what an answer switched off, restore execute bits, say what comes next.

It runs whenever a service is generated, under cruft at each create, update and diff: it needs no
network, and running it twice does what running it once does. pre_gen_project.py has made sure that
nothing it prunes was there before.
"""

import json
import shutil
import stat
from pathlib import Path

# A template that arrives as a zip has lost its execute bits.
EXECUTABLES = ["manage.py"]


def prune(folder, paths):
    """Remove the folders and files at the paths, where they exist."""
    for path in paths:
        if (folder / path).is_dir():
            shutil.rmtree(folder / path)
        else:
            (folder / path).unlink(missing_ok=True)


def make_executable(folder, paths):
    """Let whoever may read the files run them too."""
    for path in paths:
        mode = stat.S_IMODE((folder / path).stat().st_mode)
        (folder / path).chmod(mode | (mode & 0o444) >> 2)


def read_answers():
    """Return the answers: a JSON text, in which nothing can end the string it stands in."""
    return json.loads(r"""{{ cookiecutter | tojson }}""")


if __name__ == "__main__":
    answers = read_answers()
    if answers["example_app"] == "no":
        prune(Path.cwd(), answers["__example_app_paths"])
    make_executable(Path.cwd(), EXECUTABLES)
    # cruft sets no _output_dir, and what it prints must stay a diff.
    if "_output_dir" in answers:
        print(f"{answers['project_slug']} is ready. Next: cd {answers['project_slug']} && make run")
