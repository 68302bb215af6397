"""Requests as another account of this machine sends them; only root can become one."""

import os
import subprocess
import sys

import pytest

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
# The interpreter and its modules may lie where that account can't read: they are loaded before.
PROGRAM = """
import os, socket, sys
family, host, port, uid = getattr(socket, sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
connection = socket.socket(family)
request = sys.stdin.buffer.read()
os.setgroups([]); os.setgid(uid); os.setuid(uid)
connection.close()
connection = socket.socket(family)
connection.connect((host, port))
connection.sendall(request)
sys.stdout.buffer.write(b"".join(iter(lambda: connection.recv(65536), b"")))
"""


def say_as(uid: int, request: bytes, port: int, *, family: str = "AF_INET", host: str = "127.0.0.1") -> bytes:
    """The raw answer to a raw request of the account `uid`, over a connection of its own; `family` as in `socket`."""
    argv = [sys.executable, "-c", PROGRAM, family, host, str(port), str(uid)]
    return subprocess.run(argv, input=request, capture_output=True, check=True, timeout=60).stdout
