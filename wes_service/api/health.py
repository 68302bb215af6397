"""`/healthz`: whether this process answers at all. It needs no thread, so slow requests can't make it look dead."""

from wes_service.api.edge import AsgiApp, Receive, Scope, Send

HEALTH_PATH = "/healthz"
BODY = b"ok\n"
HEADERS = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(BODY)).encode())]


class Alive:
    """ASGI middleware before the edge: it says the same to everybody."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != HEALTH_PATH or scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else BODY})
