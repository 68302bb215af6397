"""Unix sockets for foreign code: made where it can connect, and who is at the other end (unix(7), SO_PEERCRED)."""

import os
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


def open_listener(folder: Path, name: str, backlog: int) -> socket.socket:
    """A socket `name` in `folder` to which every account may connect, in the place of one that was left; `OSError`.

    Bound by way of the folder's descriptor, as a socket's path may be 107 bytes long and a folder's longer.
    """
    (folder / name).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{handle}/{name}")
        # For the engines' account, which may have no group with this one: others are refused as they connect.
        (folder / name).chmod(0o666)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(handle)
    return listener
