"""A TES server as the gateway talks to it (TES 1.1.0), whatever server it is."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from wes_service.core.errors import WesError
from wes_service.core.json_types import Json
from wes_service.core.masking import bare_url
from workers.gateway.dialects import Dialect, dialect_of, standard
from workers.gateway.documents import objects

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
UNSURE = frozenset({500, 502, 504})
"""Statuses that say nothing of whether the request went through."""
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
MOST_PAGES = 8


class TesUnreachable(WesError):
    """The TES did not answer, or said that it can't for now; the same request may go through later."""


class TesUnsure(TesUnreachable):
    """The TES may have done what it was asked, but the answer is lost."""


class TesRefused(WesError):
    """The TES answered that it will not do this."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


class TesClient:
    """One TES server, asked by `http`, a client made for its URL.

    Methods raise `TesUnreachable` (try again) or `TesRefused` (final).
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str | None],
        http: httpx.AsyncClient,
        asked: Callable[[str, str, str], None],
    ) -> None:
        self._token = token
        self._http = http
        self._asked = asked
        self._dialect: Dialect | None = None
        self.url = bare_url(url.rstrip("/"))

    async def create(self, body: Mapping[str, Json]) -> str:
        """The id that the TES gave to the task; `TesUnsure` where it may have the task all the same."""
        dialect = await self._known_dialect()
        answer = await self._counted("create", "POST", "/tasks", json=dialect(body))
        identifier = answer.get("id")
        if not isinstance(identifier, str) or not identifier:
            raise TesRefused(200, "the answer to POST /tasks has no task id")
        return identifier

    async def find(self, tag: str, value: str) -> str | None:
        """The id of the task with this tag; None where the TES has none (TES 1.1.0, ListTasks).

        A TES of version 1.0 filters nothing, so tags are compared here, in what it lists first.
        """
        options = {"view": "BASIC", "page_size": "256", "tag_key": tag, "tag_value": value}
        for _ in range(MOST_PAGES):
            answer = await self._counted("list", "GET", "/tasks", params=options)
            for task in objects(answer.get("tasks")):
                tags = task.get("tags")
                if isinstance(tags, Mapping) and tags.get(tag) == value and isinstance(task.get("id"), str):
                    return str(task["id"])
            if not (token := answer.get("next_page_token")):
                return None
            options["page_token"] = str(token)
        return None

    async def get(self, task_id: str, view: str) -> dict[str, Any]:
        return await self._counted("get", "GET", f"/tasks/{task_id}", params={"view": view})

    async def cancel(self, task_id: str) -> None:
        await self._counted("cancel", "POST", f"/tasks/{task_id}:cancel")

    async def service_info(self) -> dict[str, Any]:
        return await self._counted("service-info", "GET", "/service-info")

    async def _known_dialect(self) -> Dialect:
        """Asked for once; a server without service-info (TES 1.0) is taken at the standard's word."""
        if self._dialect is None:
            try:
                self._dialect = dialect_of(await self.service_info())
            except TesRefused:
                self._dialect = standard
        return self._dialect

    async def _counted(self, request: str, method: str, path: str, **options: Any) -> dict[str, Any]:
        outcome = "unreachable"
        try:
            answer = await self._ask(method, path, **options)
            outcome = "ok"
        except TesRefused:
            outcome = "refused"
            raise
        finally:
            self._asked(self.url, request, outcome)
        return answer

    async def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = await self._send(method, path, **options)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            # The token may have been replaced in its file since it was read.
            response = await self._send(method, path, **options)
        if response.status_code in RETRIED:
            kind = TesUnsure if response.status_code in UNSURE else TesUnreachable
            raise kind(f"{self.url} answered HTTP {response.status_code}: {_message(response)}")
        if response.is_error or response.is_redirect:
            raise TesRefused(response.status_code, _message(response))
        with contextlib.suppress(ValueError):
            answer = response.json()
            if isinstance(answer, dict):
                return answer
        raise TesUnsure(f"{self.url} did not answer with a JSON object")

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        token = self._token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            return await self._http.request(method, path, headers=headers, **options)
        except (TimeoutError, httpx.HTTPError, OSError) as error:
            kind = TesUnreachable if isinstance(error, UNSENT) else TesUnsure
            raise kind(f"{self.url} can't be reached: {error or type(error).__name__}") from error


def _message(response: httpx.Response) -> str:
    text = response.text[:2000]
    with contextlib.suppress(ValueError):
        document = response.json()
        if isinstance(document, dict):
            told = document.get("msg") or document.get("message") or document.get("detail") or document.get("error")
            return str(told or text)
    return text.strip() or response.reason_phrase
