"""A client of any WES 1.1 server; what our own server adds is used where it is there."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote, urljoin, urlsplit

import httpx
import typer

from common.json_types import Json, JsonObject
from common.settings import LOOPBACK, read_token
from wes_cli.errors import InvalidArgument, ServerRefused, ServerUnreachable
from wes_cli.views import LogView, RunListItem, RunView, ServiceView, read_list_item, read_log, read_run, read_service

API = "/ga4gh/wes/v1"
RUNS_PER_PAGE = 100
TASKS_PER_PAGE = 500
PATIENCE_SECONDS = 30.0
TRANSIENT_STATUSES = frozenset({502, 503, 504})
TRANSIENT_ERRORS = (httpx.NetworkError, httpx.RemoteProtocolError)
"""Refused, or cut off: as while a server restarts."""
UNSUPPORTED_STATUSES = frozenset({404, 405, 501})
UNKNOWN_STATE = "NO_SUCH_STATE"


def api_url(server: str) -> str:
    """The base URL of the API for what a person typed; `InvalidArgument` where it is no http address."""
    text = server.strip()
    url = text if "://" in text else f"http://{text}"
    parts = urlsplit(url)
    url = url.rstrip("/")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidArgument(f"{server!r} is not the URL of a server; write it like http://127.0.0.1:8080")
    return url if url.endswith("/v1") else url + API


class WesClient:
    """Reads, and a submission with an Idempotency-Key, are sent again for `patience` seconds while nobody listens or
    the answer is a 502, 503 or 504; `on_retry` is called with a line about it, once per request.

    Raises `ServerUnreachable` and `ServerRefused`. The token goes to the server's own origin and nowhere else.
    """

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        patience: float = 0.0,
        on_retry: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.url = api_url(server)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._has_token = token is not None
        self._http = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            trust_env=urlsplit(self.url).hostname not in LOOPBACK,
        )
        self._patience = patience
        self._on_retry = on_retry

    def service_info(self) -> ServiceView:
        """GET /service-info (WES 1.1, GetServiceInfo)."""
        return read_service(self.get("/service-info"))

    def first_runs(self, size: int) -> list[RunListItem]:
        """The first page of runs."""
        return [read_list_item(item) for item in _items(self.get("/runs", page_size=str(size)), "runs")]

    def run_pages(self, filters: Mapping[str, list[str]] | None = None) -> Iterator[list[JsonObject]]:
        """Pages of runs, as the server sends them, in its order (ours: newest first)."""
        yield from self._pages("/runs", "runs", RUNS_PER_PAGE, filters)

    def has_filters(self) -> bool:
        """Whether the server knows filters, which are our addition: a server that has none lists all runs."""
        query = {"page_size": "1", "state": UNKNOWN_STATE}
        answer = self._get(f"{self.url}/runs", params=query, accepted={httpx.codes.BAD_REQUEST})
        return answer.status_code == httpx.codes.BAD_REQUEST

    def run_document(self, run_id: str) -> JsonObject:
        """The JSON of GET /runs/{id} (WES 1.1, GetRunLog), as the server sent it."""
        return _object(self.get(f"/runs/{quote(run_id, safe='')}"))

    def run(self, run_id: str) -> RunView:
        """The same as a typed value."""
        return read_run(self.run_document(run_id))

    def status(self, run_id: str) -> RunListItem:
        """State and, on our servers, progress."""
        return read_list_item(self.get(f"/runs/{quote(run_id, safe='')}/status"))

    def state(self, run_id: str) -> str:
        """The state alone."""
        return self.status(run_id).state

    def task_pages(self, run_id: str) -> Iterator[list[JsonObject]]:
        """Pages of task logs; from the run itself where the server is older than WES 1.1."""
        try:
            yield from self._pages(f"/runs/{quote(run_id, safe='')}/tasks", "task_logs", TASKS_PER_PAGE)
        except ServerRefused as refused:
            if refused.status not in UNSUPPORTED_STATUSES:
                raise
            yield [_object(item) for item in _items(self.run_document(run_id), "task_logs")]

    def tasks(self, run_id: str) -> list[LogView]:
        """All task logs of a run."""
        return [read_log(item) for page in self.task_pages(run_id) for item in page]

    def task(self, run_id: str, task_id: str) -> LogView:
        """One task log (WES 1.1, GetTask)."""
        return read_log(self.get(f"/runs/{quote(run_id, safe='')}/tasks/{quote(task_id, safe='')}"))

    def cancel(self, run_id: str) -> None:
        """POST /runs/{id}/cancel (WES 1.1, CancelRun)."""
        self._send("POST", f"{self.url}/runs/{quote(run_id, safe='')}/cancel")

    def events(self, run_id: str) -> JsonObject:
        """The history of a run that is there; `InvalidArgument` where the server tells none, as it is our addition."""
        try:
            return _object(self.get(f"/runs/{quote(run_id, safe='')}/events"))
        except ServerRefused as refused:
            if refused.status not in UNSUPPORTED_STATUSES:
                raise
            raise InvalidArgument("this server tells no history of runs") from None

    def notification_pages(self, run_id: str | None, state: str | None) -> Iterator[list[JsonObject]]:
        """Whom the ends of runs are told to; `InvalidArgument` where the server tells nobody, as it is our addition."""
        wanted = {"run_id": run_id, "state": state}
        filters = {name: [value] for name, value in wanted.items() if value is not None}
        try:
            yield from self._pages("/notifications", "notifications", RUNS_PER_PAGE, filters)
        except ServerRefused as refused:
            if refused.status not in UNSUPPORTED_STATUSES:
                raise
            raise InvalidArgument("this server tells nobody of the ends of runs") from None

    def redeliver(self, notification_id: str) -> JsonObject:
        """The notification, which is delivered again."""
        url = f"{self.url}/notifications/{quote(notification_id, safe='')}/redeliver"
        return _object(_json(self._send("POST", url)))

    def delete(self, run_id: str) -> None:
        """Deletes a run that has ended; `InvalidArgument` where the server deletes none, as it is our addition."""
        try:
            self._send("DELETE", f"{self.url}/runs/{quote(run_id, safe='')}")
        except ServerRefused as refused:
            if refused.status not in UNSUPPORTED_STATUSES - {httpx.codes.NOT_FOUND}:
                raise
            raise InvalidArgument("this server does not delete runs") from None

    def submit(
        self,
        fields: Mapping[str, str],
        attachments: Mapping[str, BinaryIO] | None = None,
        idempotency_key: str | None = None,
        resumed: str | None = None,
    ) -> str:
        """POST /runs, or with a run that is `resumed` our addition to it, the attachments streamed; the new run's id.
        Without attachments the form is multipart all the same, as the standard has it."""
        path = "/runs" if resumed is None else f"/runs/{quote(resumed, safe='')}/resume"
        parts: list[tuple[str, tuple[str | None, str | BinaryIO] | tuple[str, BinaryIO, str]]] = [
            (name, (None, value)) for name, value in fields.items()
        ]
        for name, file in (attachments or {}).items():
            parts.append(("workflow_attachment", (name, file, "application/octet-stream")))
        key = {"Idempotency-Key": idempotency_key} if idempotency_key else {}

        def send() -> httpx.Response:
            for file in (attachments or {}).values():
                file.seek(0)
            # A form without a part is none: httpx would send no body.
            return self._send("POST", self.url + path, files=parts or None, headers=key)

        response = self._retried(send) if key else send()
        run_id = _object(_json(response)).get("run_id")
        if not isinstance(run_id, str) or not run_id:
            raise ServerRefused(response.status_code, f"{self.url} took the run but named no run_id")
        return run_id

    def content(self, url: str, offset: int = 0) -> Iterator[bytes]:
        """The bytes behind a URL that the server gave, from `offset` on, in pieces; none where there are no more."""
        target = self.absolute(url)
        headers = self._headers_for(target) | ({"Range": f"bytes={offset}-"} if offset else {})
        with closing(self._retried(lambda: self._open(target, headers))) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return
            partial = response.status_code == httpx.codes.PARTIAL_CONTENT
            try:
                yield from _skip_bytes(0 if partial else offset, response.iter_bytes())
            except httpx.TransportError as error:
                raise ServerUnreachable(target, _cause_of(error)) from None

    def absolute(self, url: str) -> str:
        """The URL resolved against the base URL of the API, as some servers give paths."""
        return urljoin(f"{self.url}/", url)

    def get(self, path: str, **query: str | list[str]) -> Json:
        """The JSON answer to a GET below the API's base URL."""
        return _json(self._get(self.url + path, params=query))

    def _pages(
        self, path: str, key: str, size: int, filters: Mapping[str, list[str]] | None = None
    ) -> Iterator[list[JsonObject]]:
        query: dict[str, str | list[str]] = {"page_size": str(size), **(filters or {})}
        seen: set[str] = set()
        while True:
            body = _object(self.get(path, **query))
            yield [_object(item) for item in _items(body, key)]
            token = body.get("next_page_token")
            if not isinstance(token, str) or not token or token in seen:
                return
            seen.add(token)
            query["page_token"] = token

    def _get(
        self,
        url: str,
        *,
        params: Mapping[str, str | list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        accepted: set[int] | None = None,
    ) -> httpx.Response:
        return self._retried(lambda: self._send("GET", url, params=params, headers=headers, accepted=accepted))

    def _open(self, url: str, headers: Mapping[str, str]) -> httpx.Response:
        """The answer to a GET, its content not read yet; the caller closes it."""
        try:
            request = self._http.build_request("GET", url, headers=headers)
            response = self._http.send(request, stream=True, follow_redirects=True)
            accepted = response.is_success or response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE
            if not accepted:
                response.read()
                response.close()
        except httpx.TransportError as error:
            raise ServerUnreachable(url, _cause_of(error), transient=isinstance(error, TRANSIENT_ERRORS)) from None
        if not accepted:
            raise self._refusal(response)
        return response

    def _retried(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        """Asks until there is an answer that lasts, or the patience is over."""
        deadline = time.monotonic() + self._patience
        pause, reported = 0.2, False
        while True:
            try:
                return ask()
            except (ServerUnreachable, ServerRefused) as error:
                transient = (
                    error.transient if isinstance(error, ServerUnreachable) else error.status in TRANSIENT_STATUSES
                )
                if not transient or time.monotonic() + pause > deadline:
                    raise
                if not reported:
                    self._on_retry(f"{error}; trying again for {self._patience:.0f} s")
                reported = True
            time.sleep(pause)
            pause = min(pause * 2, 4.0)

    def _send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str | list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        files: object = None,
        accepted: set[int] | None = None,
    ) -> httpx.Response:
        try:
            response = self._http.request(
                method,
                url,
                params=dict(params) if params else None,
                headers={**self._headers_for(url), **(headers or {})},
                files=files,  # type: ignore[arg-type]
                follow_redirects=method == "GET",
            )
        except httpx.TransportError as error:
            raise ServerUnreachable(self.url, _cause_of(error), transient=isinstance(error, TRANSIENT_ERRORS)) from None
        if not response.is_success and response.status_code not in (accepted or set()):
            raise self._refusal(response)
        return response

    def _headers_for(self, url: str) -> dict[str, str]:
        return dict(self._headers) if _origin(url) == _origin(self.url) else {}

    def _refusal(self, response: httpx.Response) -> ServerRefused:
        status = response.status_code
        message = _error_message(response).rstrip(".")
        if status in {401, 403}:
            hint = "it does not take this token" if self._has_token else "it wants a token: give --token-file FILE"
            return ServerRefused(
                status, f"{self.url} refused ({status}): {message or hint}" + (f"; {hint}" if message else "")
            )
        if status == httpx.codes.NOT_FOUND and not message:
            return ServerRefused(status, f"there is nothing at {response.url}: is {self.url} a WES server?")
        return ServerRefused(status, message or f"{response.url} answered {status} {response.reason_phrase}")


def connect(server: str, token_file: Path | None, *, timeout: float = 60.0, patience: float | None = None) -> WesClient:
    """A client for the values of `--server` and `--token-file`; `SettingsError` where the file can't be read."""
    lasting = PATIENCE_SECONDS if patience is None else patience
    return WesClient(server, read_token(token_file), timeout=timeout, patience=lasting, on_retry=_print_notice)


def _print_notice(line: str) -> None:
    typer.echo(f"wes: {line}", err=True)


def _skip_bytes(count: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks without their first `count` bytes, for a server that knows no ranges."""
    for chunk in chunks:
        if len(chunk) > count:
            yield chunk[count:]
        count = max(0, count - len(chunk))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _cause_of(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def _error_message(response: httpx.Response) -> str:
    """The server's own words: `msg` in the standard, `detail` or `title` in problem documents."""
    try:
        body = _object(cast("Json", response.json()))
    except ValueError:
        return ""
    words = (body.get(key) for key in ("msg", "detail", "title", "message"))
    return next((word for word in words if isinstance(word, str) and word), "")


def _json(response: httpx.Response) -> Json:
    try:
        return cast("Json", response.json())
    except ValueError:
        message = f"{response.url} did not answer with JSON: is it a WES server?"
        raise ServerRefused(response.status_code, message) from None


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _items(body: Json, key: str) -> list[Json]:
    found = _object(body).get(key)
    return list(found) if isinstance(found, (list, tuple)) else []
