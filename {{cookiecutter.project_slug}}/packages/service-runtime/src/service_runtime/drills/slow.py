"""Hold connections to a server that send slowly, until standard input is closed.

The argument is a JSON object of options.
"""

import json
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle

_HEADS = {
    "idle": "",
    "head": "GET / HTTP/1.1\r\nHost: {host}\r\nX-Slow: ",
    "body": "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n",
}


def hold(host: str, port: int, connections: int, kind: str, sources: Sequence[str] = ()) -> None:
    """Hold connections, and reopen those that the server closes.

    Args:
        host: name of the server.
        port: its TCP port.
        connections: how many.
        kind: idle (send nothing), head or body (send a byte of it each second).
        sources: local addresses to connect from, in turn; none: the system selects one.
    """
    ended = threading.Event()

    def wait_for_end_of_input() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end_of_input, daemon=True).start()
    clients: list[socket.socket] = []
    addresses = cycle(sources or [""])
    while not ended.wait(1):
        for client in list(clients):
            try:
                if kind != "idle":
                    client.send(b"x")
            except OSError:
                clients.remove(client)
                client.close()
        while len(clients) < connections:
            with suppress(OSError):
                client = socket.create_connection((host, port), 5, (next(addresses), 0))
                client.sendall(_HEADS[kind].format(host=host).encode())
                clients.append(client)


if __name__ == "__main__":
    hold(**json.loads(sys.argv[1]))
