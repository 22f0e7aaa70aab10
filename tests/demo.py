"""Generate a service, run it with `make run`, and show its responses: `make demo`."""

import json
import shutil
import time

from .running import Response, Service, wait_for
from .support import ROOT, generate, run, template

BUILD = ROOT / "build"
SHOWN = ("Cache-Status", "RateLimit", "Retry-After", "X-Request-ID")


def say(text: str) -> None:
    """Print without buffering, even into a pipe."""
    print(text, flush=True)


def show(request_line: str, response: Response) -> None:
    """Print a request, and the status, some headers and the body of its response."""
    say(f"\n$ curl -i {request_line}")
    say(f"HTTP/1.1 {response.status} {response.reason}")
    for name in SHOWN:
        if value := response.headers[name]:
            say(f"{name}: {value}")
    say(response.body if len(response.body) < 160 else response.body[:157] + "...")


def main() -> None:
    started = time.monotonic()
    shutil.rmtree(BUILD / "acme_blog", ignore_errors=True)
    BUILD.mkdir(exist_ok=True)
    project = generate(template(), BUILD, project_name="Acme Blog")
    say(f"Generated {project.path.relative_to(ROOT)} in {time.monotonic() - started:.1f} s.")

    say("Installing it: `make install`.")
    run(["make", "install"], cwd=project.path)

    say("Serving it with a dedicated Redis: `THROTTLE_BLOG_LIMIT=5/minute make run`.")
    log = BUILD / "demo.log"
    with Service(["make", "run"], project.path, log, THROTTLE_BLOG_LIMIT="5/minute") as service:
        ready = time.monotonic() - started
        url = f"http://localhost:{service.port}"
        first, second = service.get("/api/blogs/"), service.get("/api/blogs/")
        show(f"{url}/api/blogs/", first)
        show(f"{url}/api/blogs/", second)
        denied = [service.get("/api/blogs/1/") for _ in range(4)][-1]
        say("\nThe list and the detail share the scope blog_limit; after three more requests:")
        show(f"{url}/api/blogs/1/", denied)
        independent = service.get("/api/authors/")
        say("\nAuthors have a separate scope:")
        show(f"{url}/api/authors/", independent)
        health = service.probe("readyz")
        show(f"http://localhost:{service.ops_port}/readyz", health)
        request_id = denied.headers["X-Request-ID"]
        line = wait_for(
            lambda: [
                line
                for line in service.lines()
                if line.get("request_id") == request_id and line["logger"] == "gunicorn.access"
            ],
            "the access line of the denied request",
        )[0]
        say(f"\nThe log line of the denied request, found by its ID:\n{json.dumps(line)}")

    assert first.headers["Cache-Status"].endswith("fwd=miss"), first
    assert "; hit" in second.headers["Cache-Status"], second
    assert denied.status == 429, denied
    assert int(denied.headers["Retry-After"]) > 0, denied
    assert independent.status == 200, independent
    assert health.json()["redis"] == "ok", health
    assert not service.left_behind(), service.left_behind()
    say(
        f"\nAll processes have stopped. From generation to the first response: {ready:.0f} s."
        f"\nNext: cd {project.path.relative_to(ROOT)} && make run"
    )


if __name__ == "__main__":
    main()
