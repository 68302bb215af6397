"""Runs inside an engine's sandbox, with nothing but the standard library: the ways out, and the engine.

    relay.py [PORT=SOCKET]... -- COMMAND...

Listens on 127.0.0.1 at each PORT, hands each connection on to its Unix SOCKET, starts COMMAND, and ends with its exit
code (128 + the signal where one ended it). Standard input is the launcher's: a line with a signal's number sends that
signal to COMMAND; its end (the launcher is gone) ends COMMAND.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

CHUNK = 65536
NOT_STARTED = 127


def main(relayed: list[str], command: list[str]) -> int:
    """Relays and runs the command; its exit code, or 127 where it could not be started."""
    for each in relayed:
        port, _, path = each.partition("=")
        listener = socket.create_server(("127.0.0.1", int(port)), backlog=256)
        threading.Thread(target=serve, args=(listener, path), daemon=True).start()
    # Some launchers ignore SIGINT, and a child would inherit that; engines stop on it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        sys.stderr.write(f"the engine could not be started: {error}\n")
        return NOT_STARTED
    threading.Thread(target=obey, args=(engine.pid,), daemon=True).start()
    code = engine.wait()
    return code if code >= 0 else 128 - code


def obey(pid: int) -> None:
    """Passes signals from the launcher on to the command's process group; its end kills the group."""
    for line in sys.stdin:
        with contextlib.suppress(ValueError, ProcessLookupError, PermissionError):
            os.killpg(pid, int(line))
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def serve(listener: socket.socket, path: str) -> None:
    """Accepts connections for ever, each handed on in a thread of its own."""
    while True:
        inner, _ = listener.accept()
        threading.Thread(target=join, args=(inner, path), daemon=True).start()


def join(inner: socket.socket, path: str) -> None:
    """Copies both ways between a connection and the Unix socket until both have ended."""
    outer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with inner, outer:
        try:
            outer.connect(path)
        except OSError:
            return
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=copy, args=(outer, inner), daemon=True)
        back.start()
        copy(inner, outer)
        back.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    """Copies one way until the source ends, and says so to the target."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    end = sys.argv.index("--")
    sys.exit(main(sys.argv[1:end], sys.argv[end + 1 :]))
