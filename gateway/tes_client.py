"""One TES server as the gateway speaks to it, in the dialect that it understands."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from common.configuration import TesServer
from common.errors import SettingsError, WesError
from common.json_types import BadJson, read_json
from common.masking import bare_url, masked_text
from gateway.dialects import DIALECTS, GENERIC, Dialect, dialect_of
from tes.credentials import NoToken, TesCredentials
from tes.http import error_message
from tes.task import (
    TAG_GATEWAY,
    TAG_SUBMISSION,
    TAG_TASK,
    TaskState,
    TesTask,
    View,
    readable_task,
)

NO_SUCH_TASK = frozenset({404, 410})
NO_LISTING = frozenset({405, 501})
REFUSED = frozenset({400, 409, 413, 415, 422})
"""Statuses by which a TES says that it will never do what it was asked."""
UNCERTAIN = frozenset({500, 502, 504})
"""Statuses that say nothing of whether the request went through."""
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
ANSWER_SECONDS = 60.0
MOST_REQUESTS = 20
"""To one TES at once. More of them wait here, as httpx goes through all that wait whenever one has ended."""
TURN_SECONDS = 30.0
LONGEST_ID = 1000
MOST_PAGES = 8
PAGE_SIZE = 2000
"""Close to the most that a TES has to show at once (TES 1.1.0, ListTasks: less than 2048)."""
DIALECT_SECONDS = 60.0


class TesUnreachable(WesError):
    """The TES can't be asked for now: it, or what stands before it, gives no answer of a TES. It may later."""


class TesUnsure(TesUnreachable):
    """The TES may have done what it was asked, but the answer is lost."""


class TesForgot(WesError):
    """The TES says that it has no such task, which may also be said by what stands before it."""


class TesRefused(WesError):
    """The TES says that it will not do this."""


class _Answer(NamedTuple):
    status: int
    raw: bytes

    @property
    def document(self) -> Any:
        """None for what is no JSON."""
        try:
            return read_json(self.raw)
        except BadJson:
            return None

    @property
    def message(self) -> str:
        document, text = self.document, self.raw[:2000].decode(errors="replace").strip()
        return masked_text(error_message(document) or text) or httpx.codes.get_reason_phrase(self.status)


class TaskPage(NamedTuple):
    """What a list shows of tasks: states by the TES's ids; without a token there are no more."""

    states: Mapping[str, str]
    next_token: str


class TesClient:
    """One TES server, asked by `http`, a client made for its URL.

    Methods raise `TesUnreachable` (try again, it says nothing of the task) or, where they say so, an answer of the TES.
    """

    def __init__(
        self,
        server: TesServer,
        http: httpx.AsyncClient,
        count: Callable[[str, str, str], None],
        largest_answer: int,
    ) -> None:
        self._server = server
        self._credentials = TesCredentials(server)
        self._http = http
        # Of its own, as a token server that hangs holds it.
        self._token_thread = ThreadPoolExecutor(1, f"token-{server.name}")
        self._count = count
        self._largest_answer = largest_answer
        self._room = asyncio.Semaphore(MOST_REQUESTS)
        self._heard = time.monotonic()
        self._dialect: Dialect | None = None
        self._dialect_until = 0.0
        self.name = server.name
        self.url = bare_url(server.url.rstrip("/"))

    async def create(self, task: TesTask) -> str:
        """The id that the TES gave to the task; `TesUnsure` where it may have the task all the same, `TesRefused` where
        the TES itself, not what stands before it, says that it will not have it."""
        dialect = await self.dialect()
        answer = await self._counted("create", "POST", "/tasks", json=dialect.words(task))
        if answer.status in REFUSED and (
            error_message(answer.document) or answer.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE
        ):
            raise TesRefused(f"HTTP {answer.status}: {answer.message}")
        identifier = self._object(answer).get("id")
        if not isinstance(identifier, str) or not 0 < len(identifier) <= LONGEST_ID:
            raise TesUnsure(f"{self.url} gave no task id in its answer to POST /tasks")
        return identifier

    async def find(self, task_id: str, submission: int) -> str | None:
        """The TES's id of a gateway's task; None where the TES has none (TES 1.1.0, ListTasks), `TesRefused` where it
        can't list tasks at all.

        A TES of version 1.0 filters nothing, so tags are compared here, in what it lists first.
        """
        options = {"view": "BASIC", "page_size": "256", "tag_key": TAG_TASK, "tag_value": task_id}
        for _ in range(MOST_PAGES):
            page = await self._list(options)
            for task in (readable_task(item) for item in page.get("tasks") or [] if isinstance(item, dict)):
                if _is_submission(task.get("tags") or {}, task_id, submission) and "id" in task:
                    return task["id"]
            if not (token := page.get("next_page_token")):
                return None
            options["page_token"] = str(token)
        return None

    async def page(self, tag: str, state: TaskState, token: str = "", size: int = PAGE_SIZE) -> TaskPage:
        """Tasks in this state whose tag `wes_gateway` has this value (empty for any), in the MINIMAL view (TES 1.1.0,
        ListTasks), as far as the TES filters at all; `TesRefused` where it can't list tasks."""
        options = {"view": "MINIMAL", "page_size": str(size), "state": state.value}
        tags = {"tag_key": TAG_GATEWAY, "tag_value": tag} if tag else {}
        page = await self._list({**options, **tags, **({"page_token": token} if token else {})})
        listed = [item for item in page.get("tasks") or [] if isinstance(item, dict)]
        return TaskPage(
            states={str(item.get("id")): str(item.get("state")) for item in listed},
            next_token=str(page.get("next_page_token") or ""),
        )

    async def get(self, tes_id: str, view: View) -> TesTask:
        """The task; `TesForgot` where the TES says that there is none."""
        answer = await self._counted("get", "GET", f"/tasks/{quote(tes_id, safe='')}", params={"view": view})
        if answer.status in NO_SUCH_TASK:
            raise TesForgot(f"HTTP {answer.status}: {answer.message}")
        document = readable_task(self._object(answer))
        if "state" not in document:
            raise TesUnreachable(f"{self.url} answered with no state of the task")
        return document

    async def cancel(self, tes_id: str) -> None:
        """`TesForgot` as in `get`, `TesRefused` where the task can't be cancelled, as it may have ended."""
        answer = await self._counted("cancel", "POST", f"/tasks/{quote(tes_id, safe='')}:cancel")
        if answer.status in NO_SUCH_TASK:
            raise TesForgot(f"HTTP {answer.status}: {answer.message}")
        if answer.status in REFUSED:
            raise TesRefused(f"HTTP {answer.status}: {answer.message}")
        if not httpx.codes.is_success(answer.status):
            raise self._problem(answer)

    async def _list(self, options: Mapping[str, str]) -> Mapping[str, Any]:
        answer = await self._counted("list", "GET", "/tasks", params=options)
        if answer.status in NO_LISTING:
            raise TesRefused(f"HTTP {answer.status}: {answer.message}")
        page = self._object(answer)
        if not isinstance(page.get("tasks") or [], list):
            raise TesUnreachable(f"{self.url} did not answer with a list of tasks")
        return page

    async def dialect(self) -> Dialect:
        """The one of this server. One without service-info (TES 1.0, or for now) is taken at the standard's word."""
        if self._server.kind != "auto":
            return DIALECTS[self._server.kind]
        if self._dialect is None or time.monotonic() > self._dialect_until:
            answer = await self._counted("service-info", "GET", "/service-info")
            known = answer.status not in NO_SUCH_TASK
            self._dialect = dialect_of(self._object(answer)) if known else GENERIC
            self._dialect_until = float("inf") if known else time.monotonic() + DIALECT_SECONDS
        return self._dialect

    async def _counted(self, request: str, method: str, path: str, **options: Any) -> _Answer:
        outcome = "unreachable"
        try:
            answer = await self._send(method, path, **options)
            if not httpx.codes.is_server_error(answer.status):
                outcome = "ok" if httpx.codes.is_success(answer.status) else "refused"
        finally:
            self._count(self.url, request, outcome)
        return answer

    async def _send(self, method: str, path: str, **options: Any) -> _Answer:
        """A token that is refused is replaced once, where there is a server to ask for another."""
        headers = await self._headers()
        answer = await self._exchange(method, path, headers, **options)
        if answer.status == httpx.codes.UNAUTHORIZED and self._credentials.renew(headers):
            answer = await self._exchange(method, path, await self._headers(), **options)
        return answer

    async def _headers(self) -> Mapping[str, str]:
        credentials = self._credentials
        try:
            if credentials.is_at_hand():
                return credentials.headers()
            return await asyncio.get_running_loop().run_in_executor(self._token_thread, credentials.headers)
        except (SettingsError, NoToken) as error:
            raise TesUnreachable(str(error)) from None

    async def _exchange(self, method: str, path: str, credentials: Mapping[str, str], **options: Any) -> _Answer:
        headers = {"Accept-Encoding": "identity", **credentials}
        await self._enter()
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._http.stream(method, path, headers=headers, **options) as response,
            ):
                answer = _Answer(response.status_code, await self._content(response))
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            kind = TesUnreachable if isinstance(error, UNSENT) else TesUnsure
            raise kind(f"{self.url} can't be reached: {error or type(error).__name__}") from error
        finally:
            self._room.release()
        self._heard = time.monotonic()
        return answer

    async def _enter(self) -> None:
        """Waits for its turn as long as the server answers at all; `TesUnreachable`."""
        while True:
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    await self._room.acquire()
            except TimeoutError:
                if time.monotonic() - self._heard > TURN_SECONDS:
                    raise TesUnreachable(f"{self.url} has not answered what it was asked before") from None
            else:
                return

    async def _content(self, response: httpx.Response) -> bytes:
        raw = bytearray()
        async for chunk in response.aiter_raw():
            raw += chunk
            if len(raw) > self._largest_answer:
                raise TesUnsure(
                    f"{self.url} answered with more than {self._largest_answer} bytes (WES_MAX_TES_ANSWER_BYTES)"
                )
        return bytes(raw)

    def _object(self, answer: _Answer) -> dict[str, Any]:
        """What a request that went well is answered with."""
        if not httpx.codes.is_success(answer.status):
            raise self._problem(answer)
        document = answer.document
        if not isinstance(document, dict):
            raise TesUnsure(f"{self.url} did not answer with a JSON object")
        return document

    def _problem(self, answer: _Answer) -> TesUnreachable:
        kind = TesUnsure if answer.status in UNCERTAIN else TesUnreachable
        return kind(f"{self.url} answered HTTP {answer.status}: {answer.message}")


def _is_submission(tags: Mapping[str, str], task_id: str, submission: int) -> bool:
    return tags.get(TAG_TASK) == task_id and (tags.get(TAG_SUBMISSION) or "1") == str(submission)
