"""A client for a TES server (TES 1.1.0) with nothing but the standard library, for many threads at once."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

REQUEST_SECONDS = 60.0
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 10.0
MESSAGE_FIELDS = ("detail", "msg", "message", "error", "title")
"""Where servers say why they refuse a request, as the standard names no place for it."""
CLIENT_ERRORS = 400
TOO_MANY_REQUESTS = 429
SERVER_ERRORS = 500
"""HTTP status codes from which a kind of error begins, and one that is worth another try."""


class TesRefused(Exception):
    """The TES answered that it does not take this request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the TES refused it (HTTP {status}): {message}")
        self.status = status


class TesUnreachable(Exception):
    """The TES did not answer within the client's patience."""


class TesClient:
    """`base` is the URL that `/tasks` follows; each thread keeps one connection.

    Server errors and dropped connections are tried again for `patience` seconds, then `TesUnreachable` is raised;
    a request that the server refuses raises `TesRefused` at once.
    """

    def __init__(
        self, base: str, token: str, patience: float = 600.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._url = urlsplit(base.rstrip("/"))
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._patience = patience
        self._sleep = sleep
        self._local = threading.local()
        self._open: set[http.client.HTTPConnection] = set()

    def close(self) -> None:
        """Closes the connections of all threads, which must be done with them."""
        for connection in list(self._open):
            self._drop(connection)

    def create(self, task: Mapping[str, Any]) -> str:
        """The id of the new task (TES 1.1.0, CreateTask)."""
        return str(self._request("POST", "/tasks", body=json.dumps(task).encode())["id"])

    def state(self, task_id: str, wait: float = 0.0) -> str:
        """The task's state. The gateway waits up to `wait` seconds (RFC 7240) for another one than it gave last."""
        headers = {"Prefer": f"wait={round(wait)}"} if wait >= 1 else {}
        path = f"/tasks/{quote(task_id, safe='')}?view=MINIMAL"
        return str(self._request("GET", path, headers=headers, seconds=REQUEST_SECONDS + wait).get("state", "UNKNOWN"))

    def full(self, task_id: str) -> dict[str, Any]:
        """The FULL view (TES 1.1.0, GetTask)."""
        return self._request("GET", f"/tasks/{quote(task_id, safe='')}?view=FULL")

    def with_tag(self, key: str, value: str) -> list[dict[str, Any]]:
        """The MINIMAL view of the tasks with this tag, on the first page (TES 1.1.0, ListTasks)."""
        query = f"tag_key={quote(key, safe='')}&tag_value={quote(value, safe='')}"
        return list(self._request("GET", f"/tasks?{query}").get("tasks") or [])

    def fetched(self, url: str, wait: float) -> bool:
        """Whether a file of the run has its bytes, for which the gateway waits (beyond TES)."""
        body, headers = json.dumps({"url": url}).encode(), {"Prefer": f"wait={round(wait)}"}
        answer = self._request("POST", "/outputs:fetch", body=body, headers=headers, seconds=REQUEST_SECONDS + wait)
        return bool(answer.get("fetched"))

    def cancel(self, task_id: str, patience: float | None = None) -> None:
        """Asks for the task's end, which may come later (TES 1.1.0, CancelTask)."""
        path = f"/tasks/{quote(task_id, safe='')}:cancel"
        self._request("POST", path, body=b"{}", patience=patience)

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        seconds: float = REQUEST_SECONDS,
        patience: float | None = None,
    ) -> dict[str, Any]:
        end = time.monotonic() + (self._patience if patience is None else patience)
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                status, data = self._once(method, path, body, headers, seconds)
            except (OSError, http.client.HTTPException) as error:
                problem = str(error) or type(error).__name__
            else:
                if status < CLIENT_ERRORS:
                    return dict(json.loads(data or b"{}"))
                problem = f"HTTP {status}: {_message(data)}"
                if status < SERVER_ERRORS and status != TOO_MANY_REQUESTS:
                    raise TesRefused(status, _message(data))
            if time.monotonic() + delay > end:
                raise TesUnreachable(f"the TES does not answer: {problem}")
            self._sleep(delay)
            delay = min(delay * 2, LONGEST_RETRY_SECONDS)

    def _once(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> tuple[int, bytes]:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect(seconds)
            self._open.add(connection)
        elif connection.sock is not None:
            connection.sock.settimeout(seconds)
        content = {"Content-Type": "application/json"} if body is not None else {}
        try:
            connection.request(method, self._url.path + path, body, {**self._headers, **content, **headers})
            response = connection.getresponse()
            return response.status, response.read()
        except BaseException:
            # A connection in an unknown state is not used again.
            self._drop(connection)
            self._local.connection = None
            raise

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        self._open.discard(connection)
        connection.close()

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        secure = self._url.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(self._url.hostname or "127.0.0.1", self._url.port, timeout=seconds)


def _message(data: bytes) -> str:
    text = data.decode(errors="replace").strip()
    try:
        document = json.loads(text)
    except ValueError:
        return text[:500] or "no reason given"
    if not isinstance(document, dict):
        return text[:500]
    return next((str(document[name]) for name in MESSAGE_FIELDS if document.get(name)), text[:500])
