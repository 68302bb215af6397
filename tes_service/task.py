"""Tasks as the embedded TES keeps them, and their views (TES 1.1.0, tesTask)."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from common.json_types import Json, JsonObject

GB = 10**9
"""Bytes of a gigabyte, in `ram_gb` and `disk_gb` alike: the standard says GB; engines convert from other units."""


class FileType(StrEnum):
    FILE = "FILE"
    DIRECTORY = "DIRECTORY"


@dataclass(frozen=True, kw_only=True)
class Input:
    """One of `url` and `content` is set. `path` is normalised: absolute, no `.`, `..` or doubled slashes."""

    path: str
    type: FileType = FileType.FILE
    url: str | None = None
    content: str | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """`pattern` tells that `path` is one; matches keep what follows `prefix` in their path."""

    url: str
    path: str
    type: FileType = FileType.FILE
    pattern: bool = False
    prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class Executor:
    image: str
    command: tuple[str, ...]
    workdir: str | None = None
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    ignore_error: bool = False


@dataclass(frozen=True, kw_only=True)
class Resources:
    """None: the task does not say. `ram_gb` and `disk_gb` are in gigabytes (10^9 bytes)."""

    cpu_cores: int | None = None
    ram_gb: float | None = None
    disk_gb: float | None = None


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """What was asked for. `document` is the same as JSON, without unknown and read-only fields; `notes` are lines for
    its system log (what was dropped)."""

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    executors: tuple[Executor, ...]
    volumes: tuple[str, ...]
    resources: Resources
    tags: Mapping[str, str]
    document: JsonObject
    notes: tuple[str, ...] = ()


def is_beneath(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it; both normalised."""
    return path == folder or folder == "/" or path.startswith(folder + "/")


def normal(path: str) -> str:
    """The one spelling of an absolute path (POSIX lets `//x` mean something else; nobody does)."""
    return "/" + posixpath.normpath(path).lstrip("/")


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
