"""What stops the API from starting is said in words that name the setting."""

import socket
from pathlib import Path

import pytest

from common.errors import SettingsError
from wes_cli.private_server import free_port
from wes_service.app import create_app, serve
from wes_service.settings import Settings


def test_without_redis_the_api_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="WES_REDIS_URL"), create_app(Settings(data=tmp_path)):
        pass


def test_a_token_file_that_is_empty_stops_the_api(tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    settings = Settings(data=tmp_path, redis_url="redis://localhost:1", token_file=tmp_path / "token")
    with pytest.raises(SettingsError, match="empty"), create_app(settings):
        pass


def test_a_port_that_is_taken_stops_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wes_service.app.configure_logs", str)
    monkeypatch.setattr("signal.signal", lambda number, handler: (number, handler))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(data=tmp_path, redis_url="redis://localhost:1", port=port)
        with pytest.raises(SettingsError, match=f"{port}.*--port"):
            serve(settings)


def test_once_it_says_that_it_listens_nobody_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = []

    def connect(server: object, sockets: list[socket.socket]) -> None:
        del server
        with socket.create_connection(sockets[0].getsockname(), timeout=10) as client:
            answered.append(client.getpeername())

    monkeypatch.setattr("wes_service.app.configure_logs", str)
    monkeypatch.setattr("signal.signal", lambda number, handler: (number, handler))
    monkeypatch.setattr("uvicorn.Server.run", connect)
    assert serve(Settings(data=tmp_path, redis_url="redis://localhost:1", port=free_port())) == 0
    assert len(answered) == 1
