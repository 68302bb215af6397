"""A recorded task as this server's own read-only TES shows it (TES 1.1.0, views of tesTask). Pure."""

from collections.abc import Mapping
from typing import Literal

from common.json_types import Json, JsonObject
from common.masking import masked
from tes.task import Task

View = Literal["MINIMAL", "BASIC", "FULL"]
SHOWN = ("name", "description", "inputs", "outputs", "resources", "executors", "volumes", "tags", "logs")


def tes_view(task: Task, view: View) -> dict[str, Json]:
    """MINIMAL: id and state. BASIC: without input content, system logs and streams. FULL: all but credentials."""
    document: dict[str, Json] = {"id": task.id, "state": task.state.value}
    if view == "MINIMAL":
        return document
    whole = {**task.body, **{name: value for name, value in task.document.items() if value not in (None, "", [], {})}}
    document.update({name: masked(whole[name]) for name in SHOWN if name in whole})
    document["creation_time"] = task.created.isoformat().replace("+00:00", "Z")
    return document if view == "FULL" else {**document, **_basic(document)}


def has_tags(task: Task, wanted: Mapping[str, str]) -> bool:
    """Whether the task has each tag; an empty value matches any."""
    tags = task.body.get("tags")
    have = tags if isinstance(tags, Mapping) else {}
    return all(key in have and value in ("", have[key]) for key, value in wanted.items())


def _basic(document: JsonObject) -> dict[str, Json]:
    parts: dict[str, Json] = {}
    if "inputs" in document:
        parts["inputs"] = [_without(item, {"content"}) for item in _items(document["inputs"])]
    if "logs" in document:
        parts["logs"] = [_basic_log(log) for log in _items(document["logs"])]
    return parts


def _basic_log(log: Json) -> Json:
    kept = _without(log, {"system_logs"})
    if not isinstance(kept, Mapping) or "logs" not in kept:
        return kept
    return {**kept, "logs": [_without(entry, {"stdout", "stderr"}) for entry in _items(kept["logs"])]}


def _without(item: Json, names: set[str]) -> Json:
    if not isinstance(item, Mapping):
        return item
    return {name: value for name, value in item.items() if name not in names}


def _items(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list | tuple) else []
