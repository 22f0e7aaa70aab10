"""A real headless Chromium, and what its pages report."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from ..support import ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"
DOWNLOADED = ROOT / ".tools" / "browsers"


@contextmanager
def running_chromium(ports: dict[int, int]) -> Iterator[Browser]:
    """Run the Chromium or Chrome of PATH, else the one that `make` has downloaded.

    Args:
        ports: the free port that replaces each port of localhost.
    """
    rules = [f"MAP localhost:{port} 127.0.0.1:{free}" for port, free in ports.items()]
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        assert DOWNLOADED.exists(), (
            "No Chromium: install it (apt-get install chromium), or run `make .tools/browsers`."
        )
        os.environ["PLAYWRIGHT_BROWSERS_PATH"] = str(DOWNLOADED)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=[f"--host-resolver-rules={','.join(rules)}"]
        )
        yield browser
        browser.close()


class Visit:
    """A page and what its console reports.

    Args:
        browser: the browser.
        origin: the origin of the service.
        options: the options of the browser's context, such as `color_scheme`.

    Attributes:
        page: the page.
        errors: the errors and warnings of its console.
    """

    def __init__(self, browser: Browser, origin: str, **options: Any) -> None:
        self.errors: list[str] = []
        context = browser.new_context(base_url=origin, **options)
        self.page: Page = context.new_page()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, message: Any) -> None:
        """Note errors and warnings; violations of the Content-Security-Policy are errors."""
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)

    def open(self, path: str) -> "Visit":
        """Open a page, and wait until it has loaded."""
        self.page.goto(path)
        return self

    def screenshot(self, name: str, *, full_page: bool = True) -> None:
        """Write a picture of the page to build/screenshots, in 256 colours, which is smaller."""
        picture = Image.open(BytesIO(self.page.screenshot(full_page=full_page)))
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        picture.convert("RGB").quantize(256).save(SCREENSHOTS / f"{name}.png", optimize=True)

    def violations(self) -> set[str]:
        """Return the IDs of the axe rules that the page violates."""
        found = Axe().run(self.page).response["violations"]
        for violation in found:  # shown if the test fails
            print(violation["id"], *[node["target"] for node in violation["nodes"]])
        return {violation["id"] for violation in found}

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        root = "document.documentElement"
        pixels: int = self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
        return pixels
