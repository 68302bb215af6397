"""What an attacker is after: the other run, the data folder, sockets and ports, each with what must never be shown."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.acceptance.stack import Wes

METADATA = ("169.254.169.254:80", "fd00:ec2::254:80")
TEXT_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Targets:
    """`read` and `write` are paths of this machine, `secrets` the texts behind them, `sockets` Unix sockets, `ports`
    addresses as `host:port`, `tasks` ids of the other run's tasks."""

    read: tuple[Path, ...]
    write: tuple[Path, ...]
    sockets: tuple[Path, ...]
    ports: tuple[str, ...]
    tasks: tuple[str, ...]
    secrets: frozenset[str]

    def environment(self, runner: str) -> dict[str, str]:
        """The targets as `probe.sh` takes them."""
        return {
            "READ": "\n".join(map(str, self.read)),
            "WRITE": "\n".join(map(str, self.write)),
            "SOCKETS": "\n".join(map(str, self.sockets)),
            "PORTS": "\n".join(self.ports),
            "RUNNER": runner,
        }


def targets_of(wes: Wes, victim: str, home: Path) -> Targets:
    """All that a run must not reach while `victim` runs on `wes`; `home` is a folder like somebody's home."""
    run = wes.data / "runs" / victim
    tokens = [run / "control" / "tes-token", *sorted((wes.data / "secrets").iterdir())]
    read = [
        *tokens,
        run / "attachments" / "secret.txt",
        run / "logs" / "stderr",
        run,
        run / "work",
        wes.data / "wes.sqlite",
        wes.data / "tes" / "tes.sqlite",
        home / "secret.txt",
        Path("/etc/shadow"),
    ]
    write = [run / "work", run / "attachments", run / "control", run / "logs", wes.data, wes.data / "runs", home]
    shown = [*tokens, run / "attachments" / "secret.txt", home / "secret.txt"]
    return Targets(
        read=tuple(read),
        write=tuple(write),
        sockets=tuple(_sockets(wes)),
        ports=(*_ports(wes), *METADATA),
        tasks=tuple(task["id"] for task in wes.get(f"/runs/{victim}/tasks")["task_logs"]),
        secrets=frozenset(path.read_text().strip() for path in shown),
    )


def _paths(folder: Path) -> Iterator[Path]:
    """Of all that lies in it; what goes while one looks is passed over."""
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _sockets(wes: Wes) -> Iterator[Path]:
    """Every Unix socket that a program of the stack listens on."""
    yield from sorted(path for path in _paths(wes.data) if path.is_socket())
    for process in wes.tree():
        names = [str(one.laddr) for one in _connections(process, "unix")]
        yield from (Path(name) for name in names if name.startswith("/"))


def _connections(process: psutil.Process, kind: str) -> Sequence[Any]:
    """None of one that has just ended, as a step may."""
    with suppress(psutil.NoSuchProcess):
        return process.net_connections(kind)
    return ()


def _ports(wes: Wes) -> list[str]:
    found = {
        one.laddr.port
        for process in wes.tree()
        for one in _connections(process, "tcp")
        if one.status == psutil.CONN_LISTEN
    }
    assert wes.port in found
    hosts = ("127.0.0.1", "::1", socket.gethostname())
    return [f"{host}:{port}" for host in hosts for port in sorted(found)]


def texts_beneath(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file in a folder as text, never through a link; the name counts as text as well."""
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(top) / name
            if path.is_symlink() or not path.is_file():
                yield path, name
                continue
            with path.open("rb") as source:
                yield path, source.read(TEXT_LIMIT).decode(errors="replace")


def state_of(folder: Path) -> dict[str, bytes | str]:
    """All that is in a folder, to be compared later."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        kind = path.is_file() and not path.is_symlink()
        found[str(path.relative_to(folder))] = path.read_bytes() if kind else path.lstat().st_mode.__format__("o")
    return found
