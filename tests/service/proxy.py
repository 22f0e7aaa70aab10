"""A TCP proxy that injects faults of the network."""

import contextlib
import socket
import struct
import threading
import time


class Proxy:
    """Forward connections to a server, and inject faults of the network."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._dropping = threading.Event()
        self._reply_delay = 0.0
        self._reset_after: int | None = None
        self._connections: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def refuse(self) -> None:
        """Refuse new connections and close all others."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        self._close_connections()

    def listen(self) -> None:
        """Undo `refuse`."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def drop(self) -> None:
        """Drop all data in both directions, like a network that drops packets."""
        self._dropping.set()

    def delay(self, seconds: float) -> None:
        """Delay every reply."""
        self._reply_delay = seconds

    def reset(self, after: int) -> None:
        """Reset each connection after this number of bytes of its next reply."""
        self._reset_after = after

    def redirect(self, port: int) -> None:
        """Forward new connections to another server and close all others."""
        self._target = port
        self._close_connections()

    def restore(self) -> None:
        """Undo `drop`, `delay` and `reset`."""
        self._reply_delay, self._reset_after = 0.0, None
        if self._dropping.is_set():
            self._dropping.clear()
            self._close_connections()  # they have lost data

    def _close_connections(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                if self._listener.fileno() < 0:
                    return
                with contextlib.suppress(OSError, UnboundLocalError):
                    client.close()
                continue
            self._connections |= {client, server}
            for source, sink, is_reply in ((client, server, False), (server, client, True)):
                arguments = (source, sink, is_reply)
                threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if self._dropping.is_set():
                    continue
                if is_reply and self._reply_delay:
                    time.sleep(self._reply_delay)
                if is_reply and self._reset_after is not None:
                    sink.sendall(data[: self._reset_after])
                    sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._connections.discard(end)
