"""The Unix socket of the embedded TES: who may connect, and what is left of it."""

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from common.errors import SettingsError
from sandbox.unix_socket import PeerProcess, peer_of
from tes_service import server
from tes_service.server import config_of, unix_listener
from tes_service.settings import TesSettings


@contextmanager
def _answering(path: Path) -> Iterator[Callable[[], str]]:
    """A server on the socket; what it answers to this process."""
    with unix_listener(path) as listener:
        running = uvicorn.Server(config_of(PlainTextResponse("fine"), TesSettings(uds=path, log_level="error")))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        folder = os.open(path.parent, os.O_PATH)

        def ask() -> str:
            transport = httpx.HTTPTransport(uds=f"/proc/self/fd/{folder}/{path.name}")
            with httpx.Client(transport=transport, timeout=20) as client:
                return client.get("http://any.host.at.all/").text

        try:
            yield ask
        finally:
            os.close(folder)
            running.should_exit = True
            thread.join()


def test_a_socket_in_a_folder_of_any_length_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 40) / "tes.sock"
    with _answering(path) as ask:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ask() == "fine"
    assert not path.exists()


def test_another_account_is_hung_up_on_even_where_it_can_connect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _answering(tmp_path / "tes.sock") as ask:
        monkeypatch.setattr(server, "peer_of", lambda _: PeerProcess(pid=1, uid=12345))
        with pytest.raises(httpx.TransportError):
            ask()


def test_the_kernel_tells_who_has_connected() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours)
        assert peer is not None
        assert peer.uid == os.geteuid()


def test_what_a_killed_server_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "tes.sock"
    bind = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    subprocess.run([sys.executable, "-c", bind, str(path)], check=True)
    assert path.exists()
    with _answering(path) as ask:
        assert ask() == "fine"


def test_the_socket_of_a_server_that_lives_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "tes.sock"
    with _answering(path) as ask:
        with pytest.raises(SettingsError, match="another server does"), unix_listener(path):
            raise AssertionError("it was taken")
        assert ask() == "fine"


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "tes.sock"
    path.write_text("mine")
    with pytest.raises(SettingsError, match="another file is there"), unix_listener(path):
        raise AssertionError("it was taken")
    assert path.read_text() == "mine"


def test_a_socket_that_is_somebody_else_s_by_now_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "tes.sock"
    with unix_listener(path):
        path.unlink()
        path.write_text("mine")
    assert path.read_text() == "mine"
