"""What the gateway changes in a task before a TES sees it: tags, and a file for each stdout and stderr. Pure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import InvalidField
from common.json_types import Json, JsonObject
from common.location import file_url
from tes.task import TAG_ATTEMPT, TAG_KEY, TAG_OWNER, TAG_RUN, TAG_STEP, TAG_TASK
from wes_service.core.links import STREAMS, log_file
from wes_service.core.run import Owner

LOGS_INSIDE = "/wes-logs/run"
"""Where stdout and stderr lie in a container; two levels deep, as Funnel mounts the parent of what it is given."""


def checked(body: Json) -> dict[str, Any]:
    """The task as an object with a non-empty list of executors; `InvalidField` otherwise (TES 1.1.0, tesTask)."""
    if not isinstance(body, Mapping):
        raise InvalidField("task", "a JSON object is needed")
    executors = body.get("executors")
    if not isinstance(executors, list) or not executors or not all(isinstance(e, Mapping) for e in executors):
        raise InvalidField("executors", "a list of at least one executor is needed")
    for field in ("inputs", "outputs"):
        if not isinstance(body.get(field) or [], list):
            raise InvalidField(field, "a list is needed")
    if not isinstance(body.get("tags") or {}, Mapping):
        raise InvalidField("tags", "an object is needed")
    return dict(body)


def tagged(body: JsonObject, *, run_id: str, task_id: str, owner: Owner) -> dict[str, Any]:
    """The task with tags of the run and of itself; tags of the engine that claim to be ours are overwritten."""
    tags = dict(_tags(body))
    tags[TAG_RUN] = run_id
    tags[TAG_TASK] = task_id
    tags[TAG_OWNER] = owner.subject
    tags.setdefault(TAG_STEP, str(body.get("name") or ""))
    tags.setdefault(TAG_ATTEMPT, "1")
    return {**body, "tags": tags}


def with_log_files(body: JsonObject, logs: Path) -> dict[str, Any]:
    """The task in which each executor has a stdout and a stderr file, and each of them is an output below `logs`.

    A TES truncates its own copy of both (to 10 kB in Funnel); these files are whole.
    """
    outputs = _items(body, "outputs")
    executors = [_with_streams(executor, index) for index, executor in enumerate(_items(body, "executors"))]
    for index, executor in enumerate(executors):
        for stream in STREAMS:
            url = file_url(logs / log_file(stream, index))
            outputs.append({"path": executor[stream], "url": url, "type": "FILE"})
    return {**body, "executors": executors, "outputs": outputs}


def with_resources(body: JsonObject, defaults: Mapping[str, float]) -> dict[str, Any]:
    """The task with default resources where it asks for none (TES 1.1.0, tesResources)."""
    asked = body.get("resources")
    given = {name: value for name, value in asked.items() if value} if isinstance(asked, Mapping) else {}
    return {**body, "resources": {**defaults, **given}} if defaults else dict(body)


def with_backend_parameters(body: JsonObject, allowed: frozenset[str]) -> tuple[dict[str, Any], list[str]]:
    """The task with those of its `backend_parameters` that are allowed, and the names of the others, sorted."""
    asked = body.get("resources")
    given = asked.get("backend_parameters") if isinstance(asked, Mapping) else None
    if not isinstance(asked, Mapping) or given is None:
        return dict(body), []
    names = set(given) if isinstance(given, Mapping) else set()
    kept = {name: given[name] for name in sorted(names & allowed)} if isinstance(given, Mapping) else {}
    resources = {name: value for name, value in asked.items() if name != "backend_parameters"}
    if kept:
        resources["backend_parameters"] = kept
    return {**body, "resources": resources}, sorted(name[:100] for name in names - allowed)


def _with_streams(executor: dict[str, Any], index: int) -> dict[str, Any]:
    given = {stream: executor.get(stream) or f"{LOGS_INSIDE}/{log_file(stream, index)}" for stream in STREAMS}
    return {**executor, **given}


def step_key(body: JsonObject) -> str | None:
    """The step's stable key (design, decision 9), where the engine gave one."""
    return _tags(body).get(TAG_KEY) or None


def attempt(body: JsonObject) -> int:
    """Which attempt at its step a task is, from 1."""
    text = _tags(body).get(TAG_ATTEMPT, "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() else 1


def step_name(body: JsonObject) -> str:
    """The step's own name, else the task's, else `task`."""
    return str(body.get("name") or _tags(body).get(TAG_STEP) or "task")


def _tags(body: JsonObject) -> dict[str, str]:
    tags = body.get("tags")
    return {str(name): str(value) for name, value in tags.items()} if isinstance(tags, Mapping) else {}


def _items(body: JsonObject, field: str) -> list[dict[str, Any]]:
    value = body.get(field)
    return [dict(item) for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
