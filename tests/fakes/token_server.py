"""An OAuth2 token server on loopback: oauthlib's, for one client, whose tokens a test can make expire."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import quote

from oauthlib.oauth2 import BackendApplicationServer, RequestValidator
from werkzeug.datastructures import Authorization

CLIENT_ID = "wes of a:lab"
CLIENT_SECRET = "s3cret/with+signs"


class OneClient(RequestValidator):
    """Knows one client, by HTTP Basic as RFC 6749, section 2.3.1, wants it: both parts form-encoded."""

    def authenticate_client(self, request: Any, *_args: Any, **_kwargs: Any) -> bool:
        shown = Authorization.from_header(request.headers.get("Authorization"))
        wanted = (quote(CLIENT_ID, safe=""), quote(CLIENT_SECRET, safe=""))
        known = shown is not None and (shown.username, shown.password) == wanted
        if known:
            request.client = SimpleNamespace(client_id=CLIENT_ID)
        return known

    def validate_grant_type(self, _client_id: Any, grant_type: str, *_args: Any, **_kwargs: Any) -> bool:  # type: ignore[override]
        return grant_type == "client_credentials"

    def validate_scopes(self, _client_id: Any, scopes: list[str], *_args: Any, **_kwargs: Any) -> bool:  # type: ignore[override]
        return set(scopes) <= {"tes", "read"}

    def get_default_scopes(self, *_args: Any, **_kwargs: Any) -> list[str]:
        return ["read"]

    def save_bearer_token(self, *_args: Any, **_kwargs: Any) -> None:
        return None


class TokenServer:
    """`given` are the tokens that it gave, with what it told of them; `expires_in` may be changed by a test."""

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []
        self.asked = 0
        self.expires_in = 3600
        self.down: tuple[int, bytes] | None = None
        """What it answers in place of a token."""
        self.url = ""


class TokenHandler(BaseHTTPRequestHandler):
    tokens: ClassVar[TokenServer]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.tokens.asked += 1
        status, answer = self.tokens.down or self._answer(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _answer(self, body: str) -> tuple[int, bytes]:
        server = BackendApplicationServer(OneClient(), token_expires_in=self.tokens.expires_in)
        # oauthlib insists on https of what it is told.
        where = f"https://tokens.example{self.path}"
        _, text, status = server.create_token_response(where, "POST", body, dict(self.headers))
        if status == 200:
            self.tokens.given.append(json.loads(text))
        return status, text.encode()

    def log_message(self, *_args: Any) -> None:
        return


@contextmanager
def token_server() -> Iterator[TokenServer]:
    """Runs one until the end of the block."""
    tokens = TokenServer()
    handler = type("BoundTokenHandler", (TokenHandler,), {"tokens": tokens})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    tokens.url = f"http://127.0.0.1:{server.server_port}/token"
    try:
        yield tokens
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
