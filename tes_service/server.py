"""Listens, serves until told to end, and leaves no process behind."""

import asyncio
import os
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from common.errors import SettingsError
from common.logs import configure_logs
from sandbox.unix_socket import peer_of
from tes_service.app import build
from tes_service.settings import TesSettings

log = structlog.get_logger()


def serve(settings: TesSettings) -> None:
    """Blocks until SIGTERM or SIGINT; `SettingsError` where it can't start."""
    configure_logs(settings.log_level)
    with listen(settings) as listener:
        app = build(settings)
        try:
            app.start()
            log.info("tes.started", action="start", address=_address(settings, listener), runner=app.runner)
            with _own_signals():
                uvicorn.Server(config_of(app.asgi, settings)).run(sockets=[listener])
        finally:
            app.close()
            log.info("tes.stopped", action="stop")


def config_of(app: ASGIApp, settings: TesSettings) -> uvicorn.Config:
    """How uvicorn serves; on a Unix socket only the owner may connect."""
    protocol = HttpToolsProtocol if settings.uds is None else OwnersProtocol
    return uvicorn.Config(app, http=protocol, log_config=None, access_log=False, lifespan="off")


@contextmanager
def listen(settings: TesSettings) -> Iterator[socket.socket]:
    """The socket that clients connect to; `SettingsError` where it can't be had."""
    if settings.uds is None:
        with _tcp(settings) as listener:
            yield listener
        return
    with unix_listener(settings.uds) as listener:
        yield listener


def _tcp(settings: TesSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as error:
        raise SettingsError(f"can't listen on {settings.host} port {settings.port}: {error.strerror}") from None


@contextmanager
def unix_listener(path: Path) -> Iterator[socket.socket]:
    """Only its owner can connect, from the moment that it is there. It is gone afterwards, if it is still this one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(f"can't listen on {path}: {error.strerror}") from None
    try:
        with _bound(folder, path) as listener:
            made = os.stat(path.name, dir_fd=folder).st_ino
            try:
                yield listener
            finally:
                _unlink(path.name, folder, made)
    finally:
        os.close(folder)


def _bound(folder: int, path: Path) -> socket.socket:
    """By way of the folder's descriptor, as a socket's path may be 107 bytes long and a folder's longer."""
    name = f"/proc/self/fd/{folder}/{path.name}"
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        _make_room(name, path)
        listener.bind(name)
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise SettingsError(f"can't listen on {path}: {error.strerror or error}") from None
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _make_room(name: str, path: Path) -> None:
    """Removes the socket of a server that was killed; `SettingsError` for one that lives, and for any other file."""
    if not os.path.lexists(name):
        return
    if not stat.S_ISSOCK(os.lstat(name).st_mode):
        raise SettingsError(f"can't listen on {path}: another file is there")
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(name)
        except OSError:
            Path(name).unlink()
            return
    raise SettingsError(f"can't listen on {path}: another server does")


def _unlink(name: str, folder: int, made: int) -> None:
    with suppress(FileNotFoundError):
        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino == made:
            os.unlink(name, dir_fd=folder)


def _address(settings: TesSettings, listener: socket.socket) -> str:
    if settings.uds is not None:
        return f"unix:{settings.uds}"
    name = listener.getsockname()
    return f"http://{name[0]}:{name[1]}/ga4gh/tes/v1"


class OwnersProtocol(HttpToolsProtocol):
    """HTTP on a Unix socket for the account of this server, and root: the kernel tells who has connected."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Closes at once what another account has opened."""
        super().connection_made(transport)
        peer = peer_of(transport.get_extra_info("socket"))
        if peer is None or peer.uid not in {0, os.geteuid()}:
            transport.abort()


@contextmanager
def _own_signals() -> Iterator[None]:
    """uvicorn raises the signal that ended it once more; by then ours must not end the process before `close`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ignore(_number: int, _frame: FrameType | None) -> None: ...

    before = {number: signal.signal(number, ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
