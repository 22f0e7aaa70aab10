"""Finish a service: prune disabled parts, restore execute bits and print the next command.

Runs at each generation and, under cruft, at each create, update and diff. It needs no network and
is idempotent. pre_gen_project.py has checked that nothing it prunes existed before.
"""

import json
import shutil
import stat
from pathlib import Path

# A template downloaded as a zip archive has no execute bits.
EXECUTABLES = ["manage.py"]


def prune(folder, paths):
    """Remove folders and files; ignore missing ones."""
    for path in paths:
        if (folder / path).is_dir():
            shutil.rmtree(folder / path)
        else:
            (folder / path).unlink(missing_ok=True)


def make_executable(folder, paths):
    """Set the execute bit wherever the read bit is set."""
    for path in paths:
        mode = stat.S_IMODE((folder / path).stat().st_mode)
        (folder / path).chmod(mode | (mode & 0o444) >> 2)


def read_values():
    """Return the values of all prompts. JSON cannot terminate this raw string."""
    return json.loads(r"""{{ cookiecutter | tojson }}""")


if __name__ == "__main__":
    values = read_values()
    if values["example_app"] == "no":
        prune(Path.cwd(), values["__example_app_paths"])
    make_executable(Path.cwd(), EXECUTABLES)
    # cruft does not set _output_dir. It pipes this output into its diff, so print nothing there.
    if "_output_dir" in values:
        print(f"{values['project_slug']} is ready. Next: cd {values['project_slug']} && make run")
