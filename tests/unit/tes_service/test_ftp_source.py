"""Inputs over FTP, from a server of the test that answers as it is told to."""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.network import Endpoint, network_policy
from tes_service.errors import TaskFault
from tes_service.ftp_source import FtpSource
from tes_service.processes import TaskControl
from tes_service.remote_files import RemoteFiles
from tes_service.transfers import TransferPolicy

HERE = network_policy(("127.0.0.0/8",), setting="TES_FETCH_ALLOW")
FILE = b"content of a file\r\n" * 10_000


class FtpServer:
    """Knows one file. `answers` takes the place of what it says to a command; `passive`: the address it tells to fetch
    data from."""

    def __init__(self, answers: dict[str, str], passive: str) -> None:
        self.answers = answers
        self.passive = passive
        self.heard: list[str] = []

    def serve(self, connection: socket.socket) -> None:
        with connection, socket.create_server(("127.0.0.1", 0)) as data, connection.makefile("rb") as lines:
            self._say(connection, self.answers.get("hello", "220 here"))
            for line in lines:
                self.heard.append(line.decode().rstrip("\r\n"))
                self._answer(connection, data, line.decode().split()[0])

    def _answer(self, connection: socket.socket, data: socket.socket, command: str) -> None:
        port = data.getsockname()[1]
        plain = {
            "USER": "331 and?",
            "PASS": "230 in",
            "TYPE": "200 fine",
            "PASV": f"227 at ({self.passive.replace('.', ',')},{port // 256},{port % 256})",
        }
        if command == "RETR" and command not in self.answers:
            self._say(connection, "150 it comes")
            with data.accept()[0] as other:
                other.sendall(FILE)
            self._say(connection, "226 done")
            return
        self._say(connection, self.answers.get(command, plain.get(command, "502 what?")))

    def _say(self, connection: socket.socket, text: str) -> None:
        connection.sendall(f"{text}\r\n".encode())


@contextmanager
def serving(answers: dict[str, str] | None = None, passive: str = "127.0.0.1") -> Iterator[tuple[int, FtpServer]]:
    server = FtpServer(answers or {}, passive)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server_thread = threading.Thread(target=_quietly, args=(server, connection), daemon=True)
            server_thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _quietly(server: FtpServer, connection: socket.socket) -> None:
    try:
        server.serve(connection)
    except OSError:
        return


@pytest.fixture
def fetched(tmp_path: Path) -> Iterator[Callable[..., bytes]]:
    fd = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)

    def fetch(url: str, allowed: tuple[str, ...] = ("127.0.0.0/8",), limit: int = 10**9) -> bytes:
        def resolve(host: str, port: int) -> Sequence[Endpoint]:
            return [("127.0.0.1", port)]

        source = FtpSource(policy=network_policy(allowed, setting="TES_FETCH_ALLOW"), resolve=resolve)
        policy = TransferPolicy(retries=1, seconds=30, sleep=lambda _: None)
        RemoteFiles(limit=limit, policy=policy, sources={"ftp": source}).fetch(url, fd, TaskControl())
        return (tmp_path / "target").read_bytes()

    yield fetch
    os.close(fd)


def test_a_file_comes_byte_by_byte_as_it_is(fetched: Callable[..., bytes]) -> None:
    with serving() as (port, server):
        assert fetched(f"ftp://ftp.example:{port}/deep/a%20file") == FILE
    assert "RETR deep/a file" in server.heard
    assert "TYPE I" in server.heard
    assert "USER anonymous" in server.heard


def test_a_name_and_password_are_the_tasks_own_and_are_not_told(fetched: Callable[..., bytes]) -> None:
    with serving({"PASS": "530 no"}) as (port, server), pytest.raises(TaskFault, match="530 no") as told:
        fetched(f"ftp://me:se%40cret@ftp.example:{port}/file")
    assert {"USER me", "PASS se@cret"} <= set(server.heard)
    assert "cret" not in str(told.value)


def test_the_address_that_a_server_names_for_the_data_is_not_asked(fetched: Callable[..., bytes]) -> None:
    with serving(passive="169.254.169.254") as (port, _):
        assert fetched(f"ftp://ftp.example:{port}/file") == FILE


def test_a_host_that_is_not_public_is_not_asked(fetched: Callable[..., bytes]) -> None:
    with serving() as (port, server), pytest.raises(TaskFault, match=r"not a public one.*TES_FETCH_ALLOW"):
        fetched(f"ftp://ftp.example:{port}/file", allowed=())
    assert server.heard == []


@pytest.mark.parametrize("path", ["a%0D%0ADELE%20b", "a%0Ab", "a%00b", "%ff"])
def test_a_path_is_one_command_and_no_more(fetched: Callable[..., bytes], path: str) -> None:
    with serving() as (port, server), pytest.raises(TaskFault, match="can't be sent to an FTP server"):
        fetched(f"ftp://ftp.example:{port}/{path}")
    assert server.heard == []


@pytest.mark.parametrize(
    ("answers", "told", "tries"),
    [
        ({"RETR": "550 no such file"}, "550 no such file", 1),
        ({"RETR": "450 busy"}, "450 busy", 2),
        ({"hello": "421 too many"}, "421 too many", 2),
        ({"hello": "not FTP at all"}, "not FTP at all", 2),
        ({"PASV": "227 nonsense"}, "nonsense", 2),
    ],
)
def test_what_a_server_says_is_told_and_what_may_pass_is_tried_again(
    fetched: Callable[..., bytes], answers: dict[str, str], told: str, tries: int
) -> None:
    with serving(answers) as (port, server), pytest.raises(TaskFault, match=told):
        fetched(f"ftp://ftp.example:{port}/file")
    assert server.heard.count("USER anonymous") in {0, tries}


def test_the_size_is_limited_while_it_comes(fetched: Callable[..., bytes]) -> None:
    with serving() as (port, _), pytest.raises(TaskFault, match="larger than the 1000 bytes"):
        fetched(f"ftp://ftp.example:{port}/file", limit=1000)
