"""A TCP proxy that refuses, hangs or answers nonsense when it is told to: in front of a database or of a TES."""

import contextlib
import select
import socket
import threading
import time
from dataclasses import dataclass, field

REFUSE = "refuse"
HANG = "hang"
LOOK_SECONDS = 0.1
CHUNK = 64 * 1024
Address = tuple[str, int] | str


def http_answer(status: int, body: str = "{}") -> bytes:
    """A whole answer, after which the connection is closed."""
    head = f"HTTP/1.1 {status} Fault\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n{body}".encode()


@dataclass(kw_only=True)
class Proxy:
    """Listens on loopback in front of `target` (host and port, or the path of a Unix socket).

    `fault` is None, `REFUSE` (connections are cut), `HANG` (nothing passes, nothing is cut), or the bytes that answer
    every request.
    """

    target: Address
    fault: str | bytes | None = None
    _listener: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self.fault = REFUSE
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while self.fault == HANG:
                time.sleep(LOOK_SECONDS)
            # Looked at once: the fault may end while the request is on its way.
            fault = self.fault
            if isinstance(fault, bytes):
                client.recv(CHUNK)
                client.sendall(fault)
            elif fault is None:
                with self._connected() as server:
                    self._pass(client, server)

    def _connected(self) -> socket.socket:
        if isinstance(self.target, tuple):
            return socket.create_connection(self.target)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.connect(self.target)
        return server

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        while self.fault in {None, HANG}:
            ready, _, _ = select.select([client, server], [], [], LOOK_SECONDS)
            for one in ready if self.fault is None else ():
                data = one.recv(CHUNK)
                if not data:
                    return
                other[one].sendall(data)
            if self.fault == HANG:
                time.sleep(LOOK_SECONDS)
