"""Checksums of the runtime package, for `make sums` and its test."""

import hashlib
import subprocess
from pathlib import Path

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
SUMS = RUNTIME / "SHA256SUMS"


def current_sums() -> str:
    """Return a line for each file that git tracks or would add, in the format of sha256sum."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"],
        cwd=RUNTIME,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    names = [name for name in sorted(listed.stdout.splitlines()) if name != SUMS.name]
    paths = {name: RUNTIME / name for name in names if (RUNTIME / name).exists()}
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n" for name, path in paths.items()
    )


if __name__ == "__main__":
    SUMS.write_text(current_sums())
