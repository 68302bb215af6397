"""`wes tes check`: whether the TES servers of the configuration can be used, each by asking it, or by a small task."""

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from common.configuration import TesServer
from common.errors import SettingsError
from common.masking import bare_url, masked_text
from gateway.dialects import DIALECTS, dialect_of
from tes.credentials import NoToken, TesCredentials
from tes.http import error_message, json_object, tes_client
from tes.task import TAG_TASK, TASK_TERMINAL, TaskState
from wes_cli.display import clean
from wes_cli.errors import InvalidArgument
from wes_cli.findings import Finding, report
from wes_cli.options import Config
from wes_cli.serve import tes
from wes_service.settings import read_settings

app = typer.Typer(add_completion=False)
app.callback(invoke_without_command=True)(tes)

ANSWER_SECONDS = 10.0
LARGEST_ANSWER = 4 * 1024**2
LOOK_SECONDS = 0.5
LONGEST_WORDS = 200
REFUSALS = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})


class NoAnswer(Exception):
    """The server can't be asked, or will not do it; the message is why."""


@dataclass(frozen=True, kw_only=True)
class TesAnswer:
    """What a TES said; `document` is empty where that is no JSON object."""

    status: int
    document: Mapping[str, Any]

    @property
    def is_fine(self) -> bool:
        """Whether it says yes, and what."""
        return httpx.codes.is_success(self.status) and bool(self.document)


class AskedTes:
    """One server, asked as its gateway would, one request at a time."""

    def __init__(self, server: TesServer) -> None:
        self.server = server
        self.shown = f"{server.name}, {bare_url(server.url)}"
        self._credentials = TesCredentials(server)

    def ask(self, method: str, path: str, **options: Any) -> TesAnswer:
        """With its credentials; `NoAnswer` where they can't be had or are refused, and where nobody answers."""
        server = self.server
        try:
            headers = {"Accept-Encoding": "identity", **self._credentials.headers()}
            with (
                tes_client(server.url, ANSWER_SECONDS, server.ca_file) as client,
                client.stream(method, path, headers=headers, **options) as response,
            ):
                answer = TesAnswer(status=response.status_code, document=json_object(response, LARGEST_ANSWER))
        except (SettingsError, NoToken) as error:
            raise NoAnswer(str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NoAnswer(f"it can't be reached: {error or type(error).__name__}; see {server.origin}") from None
        if answer.status in REFUSALS:
            raise NoAnswer(f"it refuses the credentials of {server.origin} (HTTP {answer.status})")
        return answer


def server_findings(server: TesServer) -> Iterator[Finding]:
    """Whether it answers, takes the credentials, and filters its list; nothing is asked after the first that fails."""
    asked = AskedTes(server)
    try:
        server.check_secrets()
        yield Finding(name="tes", ok=True, found=f"{asked.shown} answers: {_version(asked)}")
        yield _listing(asked)
    except (NoAnswer, SettingsError) as error:
        fix = "see 'Another TES' in docs/operation.md"
        yield Finding(name="tes", ok=False, found=f"{asked.shown}: {masked_text(str(error))}", fix=fix)


def _version(asked: AskedTes) -> str:
    """Service-info in words; a server without one may be of TES 1.0."""
    info = asked.ask("GET", "/service-info")
    if info.status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise NoAnswer(f"it answers HTTP {info.status}")
    if not info.is_fine:
        return "no service-info, as of TES 1.0"
    kind = info.document.get("type")
    version = kind.get("version") if isinstance(kind, dict) else None
    configured = asked.server.kind
    dialect = dialect_of(info.document) if configured == "auto" else DIALECTS[configured]
    called = f"{info.document.get('name') or 'no name'} {info.document.get('version') or ''}".rstrip()
    words = f"{called}, TES {version or 'of no version'}, spoken to in {dialect.title}"
    return clean(words)[:LONGEST_WORDS]


def _listing(asked: AskedTes) -> Finding:
    """A task whose answer was lost is looked for by a tag, and lists by tag and state tell of many tasks at once."""
    view = {"view": "MINIMAL", "page_size": "1"}
    listed = asked.ask("GET", "/tasks", params=view)
    if not listed.is_fine:
        found = f"{asked.shown}: no list of tasks (HTTP {listed.status}): one whose answer is lost may run twice"
        return Finding(name="tes", ok=False, found=found, need="better")
    works = [name for name, filter_ in _filters().items() if _is_filtered(asked, {**view, **filter_})]
    said = f"its list is filtered by {', '.join(works) or 'nothing'}"
    if "tag" not in works:
        found = f"{asked.shown}: {said}: to look for a lost task takes longer, and open tasks are asked for one by one"
        return Finding(name="tes", ok=False, found=found, need="optional")
    if not listed.document.get("tasks"):
        said = "it has no task to show what filters its list"
    return Finding(name="tes", ok=True, found=f"{asked.shown}: the credentials are good, {said}")


def _filters() -> Mapping[str, Mapping[str, str]]:
    """Each filter of TES 1.1.0 (ListTasks), as no task or hardly any passes it."""
    word = secrets.token_hex(8)
    return {
        "tag": {"tag_key": TAG_TASK, "tag_value": word},
        "state": {"state": TaskState.PAUSED.value},
        "name_prefix": {"name_prefix": word},
    }


def _is_filtered(asked: AskedTes, options: Mapping[str, str]) -> bool:
    """Whether the list shows nothing but what passes: a task in the state, or none."""
    answer = asked.ask("GET", "/tasks", params=dict(options))
    listed = answer.document.get("tasks") or []
    wanted = options.get("state")
    return answer.is_fine and all(
        wanted is not None and isinstance(task, dict) and task.get("state") == wanted for task in listed
    )


def task_finding(server: TesServer, image: str, seconds: float) -> Finding:
    """A task that prints a word, from its creation to its end; one that does not end in time is cancelled."""
    asked = AskedTes(server)
    try:
        found = _run_task(asked, image, seconds)
    except NoAnswer as error:
        said = f"{asked.shown}: {masked_text(str(error))}"
        return Finding(name="task", ok=False, found=said, fix="look at the log of the TES")
    return Finding(name="task", ok=True, found=f"{asked.shown}: {found}")


def _run_task(asked: AskedTes, image: str, seconds: float) -> str:
    began = time.monotonic()
    body = {"name": "wes-tes-check", "executors": [{"image": image, "command": ["echo", "checked"]}]}
    created = asked.ask("POST", "/tasks", json=body)
    task_id = str(created.document.get("id") or "")
    if not created.is_fine or not task_id:
        said = clean(error_message(created.document))[:LONGEST_WORDS]
        raise NoAnswer(f"it takes no task: HTTP {created.status} {said}")
    state = _end(asked, task_id, began + seconds)
    took = f"{time.monotonic() - began:.1f} s"
    if state != "COMPLETE":
        raise NoAnswer(f"task {clean(task_id)} is {state} after {took}: {_last_words(asked, task_id)}")
    return f"task {clean(task_id)} is COMPLETE after {took}"


def _end(asked: AskedTes, task_id: str, deadline: float) -> str:
    while True:
        told = asked.ask("GET", f"/tasks/{quote(task_id, safe='')}", params={"view": "MINIMAL"})
        state = clean(str(told.document.get("state") or f"HTTP {told.status}"))
        if state in TASK_TERMINAL:
            return state
        if time.monotonic() > deadline:
            asked.ask("POST", f"/tasks/{quote(task_id, safe='')}:cancel")
            return f"{state}, and was cancelled"
        time.sleep(LOOK_SECONDS)


def _last_words(asked: AskedTes, task_id: str) -> str:
    document = asked.ask("GET", f"/tasks/{quote(task_id, safe='')}", params={"view": "FULL"}).document
    logs = document.get("logs")
    last = logs[-1] if isinstance(logs, list) and logs and isinstance(logs[-1], dict) else {}
    return clean("; ".join(str(line) for line in last.get("system_logs") or []))[:LONGEST_WORDS] or "it says no more"


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(help="Name of the server; all of them where none is given.")] = None,
    config: Config = None,
    task: Annotated[bool, typer.Option("--task", help="Also run a small task there, which prints a word.")] = False,
    image: Annotated[
        str | None, typer.Option("--image", help="Image of that task [the default image of steps].", show_default=False)
    ] = None,
    seconds: Annotated[float, typer.Option("--wait", metavar="SECONDS", help="How long that task may take.")] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON, for scripts.")] = False,
) -> None:
    """Ask TES servers of the configuration whether they can be used: there, credentials, filters. Exit code 1 if not.

    \b
    wes tes check --config /etc/wes/wes.toml           all that the file names
    wes tes check far --task --config wes.toml         one, with a task on it
    """
    settings = read_settings(config=config)
    servers = [server for server in settings.tes_servers if name in {None, server.name}]
    if not servers:
        there = ", ".join(server.name for server in settings.tes_servers) or "none (see --config and WES_TES_URLS)"
        raise InvalidArgument(f"there is no TES {name or ''} in the configuration; there is {there}")
    found = [finding for server in servers for finding in server_findings(server)]
    if task:
        found += [task_finding(server, image or settings.default_image, seconds) for server in servers]
    report(found, as_json=as_json)
