"""Which process is at the other end of a Unix socket, as the kernel tells it (unix(7), SO_PEERCRED)."""

import socket
import struct
from pathlib import Path
from typing import NamedTuple

_CREDENTIALS = struct.Struct("3i")


class PeerProcess(NamedTuple):
    """The process at the other end of a Unix socket, as the kernel tells it."""

    pid: int
    uid: int

    @property
    def sandbox(self) -> str:
        """What it shares with all processes of its run, and with no other run: its namespace of processes."""
        try:
            return str(Path(f"/proc/{self.pid}/ns/pid").readlink())
        except OSError:
            return str(self.pid)


def peer_of(connection: socket.socket) -> PeerProcess | None:
    """None for a connection over TCP, of which the kernel tells nothing."""
    if connection.family != socket.AF_UNIX:
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return PeerProcess(pid=pid, uid=uid)
