"""Listens, serves until told to end, and leaves no process behind."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
import uvicorn

from tes_service.app import build
from tes_service.settings import TesSettings
from wes_service.core.errors import SettingsError

log = structlog.get_logger()


def serve(settings: TesSettings) -> None:
    """Blocks until SIGTERM or SIGINT; `SettingsError` where it can't start."""
    with listen(settings) as listener:
        app = build(settings)
        try:
            app.start()
            log.info("tes.started", action="start", address=_address(listener), runner=app.runner)
            config = uvicorn.Config(app.asgi, log_level=settings.log_level, access_log=False, lifespan="off")
            with _own_signals():
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            app.close()
            log.info("tes.stopped", action="stop")


@contextmanager
def listen(settings: TesSettings) -> Iterator[socket.socket]:
    """The socket that clients connect to; `SettingsError` where it can't be had."""
    listener = _unix(settings) if settings.uds is not None else _tcp(settings)
    try:
        yield listener
    finally:
        listener.close()
        if settings.uds is not None:
            settings.uds.unlink(missing_ok=True)


def _tcp(settings: TesSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as error:
        raise SettingsError(f"can't listen on {settings.host} port {settings.port}: {error.strerror}") from None


def _unix(settings: TesSettings) -> socket.socket:
    """Only its owner can connect: the mask holds while it is made."""
    assert settings.uds is not None  # noqa: S101
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        settings.uds.unlink(missing_ok=True)
        listener.bind(str(settings.uds))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise SettingsError(f"can't listen on {settings.uds}: {error.strerror}") from None
    finally:
        os.umask(before)
    return listener


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"http://{name[0]}:{name[1]}/ga4gh/tes/v1"


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
