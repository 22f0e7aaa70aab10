"""Requests from inside the cluster, with the standard library only: the image has nothing else.

Called with a JSON object of options. It tells the number of answers twice a second, until standard
input ends or a bound is met, and then, as one JSON object on the last line, all of them.
"""

import http.client
import itertools
import json
import socket
import sys
import threading
import time


class Load:
    """Requests to one server, each over a connection of its own.

    Args:
        host: name of the server, which is also sent as Host.
        paths: what is asked for, in turn; `{n}` stands for the request's number.
        headers: sent with each request.
        rate: requests a second, whether answers are late or not; null: as fast as threads go.
        threads: how many requests may be under way at a time.
        count: the most requests.
        seconds: the most time.
        body: whether to keep the answers' headers and bodies.
    """

    def __init__(
        self, host, paths, headers, rate=None, threads=1, count=1, seconds=30, port=80, body=False
    ):
        # Looked up once: this is about the service, not about the cluster's DNS.
        self.address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
        self.headers = {"Host": host, "Connection": "close", **headers}
        self.paths, self.rate, self.count, self.seconds = paths, rate, count, seconds
        self.body = body
        self.numbers = itertools.count()
        self.answers = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(threads)]

    def run(self):
        """Make the requests, until told to stop; return the answers."""
        self.began = time.monotonic()
        threading.Thread(target=self.wait_for_end_of_input, daemon=True).start()
        for thread in self.threads:
            thread.start()
        while any(thread.is_alive() for thread in self.threads):
            self.threads[0].join(0.5)
            print(len(self.answers), flush=True)
            if time.monotonic() - self.began > self.seconds:
                self.over.set()
        return sorted(self.answers, key=lambda answer: answer["start"])

    def wait_for_end_of_input(self):
        """Stop when whoever has started this is done."""
        sys.stdin.read()
        self.over.set()

    def work(self):
        """Make requests, each when its time has come."""
        while (number := next(self.numbers)) < self.count:
            due = self.began + number / self.rate if self.rate else time.monotonic()
            if self.over.wait(max(0, due - time.monotonic())):
                return
            answer = {"start": due - self.began}
            try:
                answer |= self.ask(self.paths[number % len(self.paths)].format(n=number))
            except (OSError, http.client.HTTPException) as error:
                answer["error"] = f"{type(error).__name__}: {error}"
            # From when it was due: waiting for a free thread counts.
            answer["duration"] = time.monotonic() - due
            self.answers.append(answer)

    def ask(self, path):
        """Make one request."""
        connection = http.client.HTTPConnection(*self.address[:2], timeout=15)
        try:
            connection.request("GET", path, headers=self.headers)
            response = connection.getresponse()
            answer = {"status": response.status}
            text = response.read().decode()
            if self.body:
                answer |= {"headers": dict(response.getheaders()), "body": text}
            return answer
        finally:
            connection.close()


if __name__ == "__main__":
    print(json.dumps(Load(**json.loads(sys.argv[1])).run()))
