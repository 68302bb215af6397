"""The three views of a task, exactly (TES 1.1.0, parameter `view`; acceptance: tes, 2)."""

from collections.abc import Mapping
from enum import StrEnum

from common.json_types import Json, JsonObject


class View(StrEnum):
    MINIMAL = "MINIMAL"
    BASIC = "BASIC"
    FULL = "FULL"


def shown(document: JsonObject, view: View) -> JsonObject:
    """`document` is the FULL view."""
    if view is View.FULL:
        return document
    if view is View.MINIMAL:
        return {"id": document["id"], "state": document["state"]}
    return {**document, **_without(document, "inputs", "content"), **_logs(document)}


def _without(document: JsonObject, key: str, *hidden: str) -> dict[str, Json]:
    """`key` of the document, an array of objects, without their `hidden` fields; nothing where there is none."""
    items = document.get(key)
    if not isinstance(items, list):
        return {}
    return {key: [_drop(item, hidden) for item in items]}


def _drop(item: Json, hidden: tuple[str, ...]) -> Json:
    if not isinstance(item, Mapping):
        return item
    return {name: value for name, value in item.items() if name not in hidden}


def _logs(document: JsonObject) -> dict[str, Json]:
    tasks = document.get("logs")
    if not isinstance(tasks, list):
        return {}
    return {"logs": [_task_log(log) for log in tasks]}


def _task_log(log: Json) -> Json:
    if not isinstance(log, Mapping):
        return log
    shorter = {name: value for name, value in log.items() if name != "system_logs"}
    return {**shorter, **_without(shorter, "logs", "stdout", "stderr")}
