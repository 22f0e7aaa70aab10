"""Send requests from a pod in the cluster, with the standard library only.

The argument is a JSON object of options. The program prints the number of results twice a second,
until standard input is closed or a limit is reached, and then all results as one line of JSON.
"""

import http.client
import itertools
import json
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any


class Load:
    """Requests to one server, each over a separate connection.

    Args:
        host: name of the server, also sent as the Host header.
        paths: requested in turn; `{n}` is replaced by the number of the request, plus `first`.
        headers: sent with each request; `{a}` and `{b}` are replaced by two bytes of the number.
        rate: requests per second, even if responses are late; None: as fast as possible.
        threads: maximum number of concurrent requests.
        count: maximum number of requests.
        seconds: maximum duration.
        port: TCP port of the server.
        timeout: seconds that a client waits.
        first: the number of the first request.
        body: whether to record the headers and bodies of responses.
    """

    def __init__(
        self,
        host: str,
        paths: Sequence[str],
        headers: dict[str, str],
        rate: float | None = None,
        threads: int = 1,
        count: int = 1,
        seconds: float = 30,
        port: int = 80,
        timeout: float = 15,
        first: int = 0,
        body: bool = False,
    ) -> None:
        # Resolved once, so that the cluster's DNS does not affect the measurements.
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
        self.address, self.port = str(address[0]), port
        self.headers = {"Host": host, "Connection": "close", **headers}
        self.paths, self.rate, self.count, self.seconds = paths, rate, count, seconds
        self.timeout, self.first, self.body = timeout, first, body
        self.numbers = itertools.count()
        self.results: list[dict[str, Any]] = []
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(threads)]

    def run(self) -> list[dict[str, Any]]:
        """Send the requests and return the results."""
        self.started = time.monotonic()
        threading.Thread(target=self.wait_for_end_of_input, daemon=True).start()
        for thread in self.threads:
            thread.start()
        while any(thread.is_alive() for thread in self.threads):
            self.threads[0].join(0.5)
            print(len(self.results), flush=True)
            if time.monotonic() - self.started > self.seconds:
                self.stopped.set()
        return sorted(self.results, key=lambda result: result["start"])

    def wait_for_end_of_input(self) -> None:
        """Stop when the caller closes standard input."""
        sys.stdin.read()
        self.stopped.set()

    def work(self) -> None:
        """Send requests, each when it is due."""
        while (number := next(self.numbers)) < self.count:
            due = self.started + number / self.rate if self.rate else time.monotonic()
            if self.stopped.wait(max(0, due - time.monotonic())):
                return
            result: dict[str, Any] = {"start": due - self.started}
            try:
                result |= self.request(number)
            except (OSError, http.client.HTTPException) as error:
                result["error"] = f"{type(error).__name__}: {error}"
            # Measured from the due time, so that waiting for a thread counts.
            result["duration"] = time.monotonic() - due
            self.results.append(result)

    def request(self, number: int) -> dict[str, Any]:
        """Send one request."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=self.timeout)
        path = self.paths[number % len(self.paths)].format(n=self.first + number)
        bytes_ = {"a": number >> 8 & 255, "b": number & 255}
        headers = {name: value.format(**bytes_) for name, value in self.headers.items()}
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            result: dict[str, Any] = {"status": response.status}
            text = response.read().decode()
            if self.body:
                result |= {"headers": dict(response.getheaders()), "body": text}
            return result
        finally:
            connection.close()


if __name__ == "__main__":
    print(json.dumps(Load(**json.loads(sys.argv[1])).run()))
