"""README.md quotes what the code prints, and every link in the documents leads somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

from tests.bake.test_documents import documents_of, repository, service
from tests.support import ROOT, template

README = (ROOT / "README.md").read_text()
TROUBLESHOOTING = re.compile(r"^\| (`+)(.+?)\1 \| ([^|]+?) \|", re.MULTILINE)
# Programs whose messages are not ours.
OTHERS = {"Cookiecutter", "Python"}
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")


def test_the_demo_and_the_tests_are_in_the_first_20_lines():
    first = README.splitlines()[:20]

    assert any(line.startswith("    make demo") for line in first)
    assert any(line.startswith("    make test") for line in first)


def test_messages_under_troubleshooting_are_printed():
    section = README.partition("## Troubleshooting")[2].partition("\n## ")[0]
    quoted = [
        text for _, text, program in TROUBLESHOOTING.findall(section) if program not in OTHERS
    ]
    paths = [ROOT / "Makefile", *(path for path in template().rglob("*") if path.suffix == ".py")]
    code = "\n".join(path.read_text() for path in [*paths, *template().glob("*/Makefile")])
    # A response of the readiness probe has its words in several places.
    words = [text.split('": "')[-1].strip('"') for text in quoted]

    assert len(words) >= 5
    assert [text for text in words if text not in code] == []


def anchors(text: str) -> set[str]:
    """Return the fragments that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(document: Path, link: str) -> bool:
    """Return whether the file of a relative link exists and has the heading of its fragment."""
    path, _, fragment = unquote(link).partition("#")
    target = document.parent / path if path else document
    if not target.exists():
        return False
    return not fragment or fragment in anchors(target.read_text())


def test_every_relative_link_leads_to_a_file_and_a_heading():
    broken = set()
    for project in (repository(), service("yes"), service("no")):
        # The template's documents link into the source of the generated service.
        root = template() if project is repository() else project.root
        for path in documents_of(project):
            for link in filter(None, sum(LINK.findall((root / path).read_text()), ())):
                if ":" not in link and not leads_somewhere(root / path, link):
                    broken.add(f"{path}: {link}")

    assert sorted(broken) == []
