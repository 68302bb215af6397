"""A task as this server takes it: checked, with paths in one spelling (TES 1.1.0, CreateTask)."""

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import InvalidField
from common.location import file_path_of
from tes.task import NETWORK, FileType, TesExecutor, TesInput, TesOutput, TesResources, TesTask, checked_task

WILDCARD = re.compile(r"(?<!\\)[*?\[]")
BACKEND_PARAMETERS: tuple[str, ...] = (NETWORK,)
"""The backend parameters that this server knows."""
REQUEST_FIELDS = ("name", "description", "inputs", "outputs", "resources", "executors", "volumes", "tags")
"""Of a task, those that a client may set; others are ignored, as are fields that the standard does not have."""
_ANY_TEXT = (".name", ".description", ".content")
_NAMED_BY_CLIENT = ("tags.", "resources.backend_parameters.")
_ENV_NAME = re.compile(r"[^=\0]+")


@dataclass(frozen=True, kw_only=True)
class OutputRequest:
    """An output to deliver. `pattern` tells that `path` is one; matches keep what follows `prefix` in their path."""

    url: str
    path: str
    type: FileType = FileType.FILE
    pattern: bool = False
    prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """What was asked for. In all but `document` paths are normalised: absolute, no `.`, `..` or doubled slashes.

    Of an input one of `url` and `content` is set. `document` is the task as it was sent, without unknown and read-only
    fields; `notes` are lines for its system log (what was dropped).
    """

    name: str
    inputs: tuple[TesInput, ...]
    outputs: tuple[OutputRequest, ...]
    executors: tuple[TesExecutor, ...]
    volumes: tuple[str, ...]
    resources: TesResources
    tags: Mapping[str, str]
    document: TesTask
    notes: tuple[str, ...] = ()

    @property
    def wants_network(self) -> bool | None:
        """Whether it is to have one; None where it does not say."""
        wish = (self.resources.get("backend_parameters") or {}).get(NETWORK)
        return None if wish is None else wish == "true"


def task_request(body: object) -> TaskRequest:
    """Checks everything that can be checked without looking at a file; `InvalidField` names what is wrong."""
    document = _known_fields(checked_task(body, strict=True))
    _check_texts(document)
    resources = document.get("resources") or {}
    unknown = _unknown_parameters(resources)
    if unknown:
        asked = resources.get("backend_parameters") or {}
        known = {name: value for name, value in asked.items() if name not in unknown}
        document["resources"] = {**resources, "backend_parameters": known}
    request = TaskRequest(
        name=document.get("name") or "",
        inputs=_inputs(document.get("inputs") or []),
        outputs=tuple(_output(f"outputs[{i}]", one) for i, one in enumerate(document.get("outputs") or [])),
        executors=tuple(_executor(f"executors[{i}]", one) for i, one in enumerate(document["executors"])),
        volumes=tuple(_absolute(f"volumes[{i}]", path) for i, path in enumerate(document.get("volumes") or [])),
        resources=TesResources(**{name: value for name, value in resources.items() if value}),  # type: ignore[typeddict-item]
        tags=document.get("tags") or {},
        document=document,
        notes=tuple(f"backend parameter {name!r} is not known here and was dropped" for name in unknown),
    )
    _refuse_clashes(request)
    return request


def writes_where_it_reads(request: TaskRequest) -> bool:
    """Whether an output is, holds or lies in what an input is: once a part of it was delivered, the same task may read
    something else. Links of this machine are followed."""
    read = [_place(one["url"] or "") for one in request.inputs if one.get("url")]
    written = [_place(one.url) for one in request.outputs]
    return any(one.startswith(other) or other.startswith(one) for one in read for other in written)


def _place(url: str) -> str:
    """One spelling of where it lies, that of a folder being the beginning of those of what is in it."""
    path = file_path_of(url)
    return f"{os.path.realpath(path) if path else url.rstrip('/')}/"


def _known_fields(task: TesTask) -> TesTask:
    """Without fields that are null, too, which many clients send for those that are absent."""
    known: Any = {name: value for name, value in task.items() if name in REQUEST_FIELDS and value is not None}
    for field, part in (("inputs", TesInput), ("outputs", TesOutput), ("executors", TesExecutor)):
        if field in known:
            known[field] = [_known_of(item, part) for item in known[field]]
    if "resources" in known:
        known["resources"] = _known_of(known["resources"], TesResources)
    return known  # type: ignore[no-any-return]


def _known_of(item: Mapping[str, Any], part: type) -> dict[str, Any]:
    names = part.__annotations__
    return {name: value for name, value in item.items() if name in names and value is not None}


def _check_texts(document: TesTask) -> None:
    """JSON can hold what a file or the database can't: lone surrogates, and NUL in a path or an argument."""
    for field, text in _texts("", document):
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise InvalidField(field, "must be valid Unicode") from None
        if "\0" in text and not f".{field}".endswith(_ANY_TEXT) and not field.startswith(_NAMED_BY_CLIENT):
            raise InvalidField(field, "must not contain NUL")


def _texts(field: str, value: object) -> Iterator[tuple[str, str]]:
    """Each text in the document, names of members included, and its field."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(f"{field}[{index}]", item)
    elif isinstance(value, dict):
        for name, item in value.items():
            inner = f"{field}.{name}".lstrip(".")
            yield inner, name
            yield from _texts(inner, item)


def _executor(field: str, executor: TesExecutor) -> TesExecutor:
    image, command = executor.get("image"), executor.get("command")
    if not image or image.startswith("-") or any(letter.isspace() for letter in image):
        raise InvalidField(f"{field}.image", "is needed: the name of a container image")
    if not command or not command[0]:
        raise InvalidField(f"{field}.command", "is needed: the program and its arguments")
    for name, value in (executor.get("env") or {}).items():
        if not _ENV_NAME.fullmatch(name) or "\0" in value:
            raise InvalidField(f"{field}.env.{name}", "is no environment variable")
    return {
        **executor,
        "workdir": _path(f"{field}.workdir", executor.get("workdir")),
        "stdin": _path(f"{field}.stdin", executor.get("stdin")),
        "stdout": _path(f"{field}.stdout", executor.get("stdout")),
        "stderr": _path(f"{field}.stderr", executor.get("stderr")),
    }


def _inputs(inputs: list[TesInput]) -> tuple[TesInput, ...]:
    """Each once, though it may be asked for twice."""
    by_path: dict[str, TesInput] = {}
    for index, item in enumerate(inputs):
        field = f"inputs[{index}]"
        one = _input(field, item)
        if by_path.setdefault(one["path"], one) != one:
            raise InvalidField(f"{field}.path", "is the path of another input as well")
    return tuple(by_path.values())


def _input(field: str, item: TesInput) -> TesInput:
    path, type_ = _needed_path(f"{field}.path", item.get("path")), _file_type(field, item.get("type"))
    url, content = item.get("url"), item.get("content")
    if url and content:
        raise InvalidField(f"{field}.content", "can't be given together with url")
    if url:
        return {"path": path, "type": type_, "url": url}
    if content is None:
        raise InvalidField(f"{field}.url", "is needed (or content)")
    if type_ is FileType.DIRECTORY:
        raise InvalidField(f"{field}.type", "content is always a FILE")
    return {"path": path, "type": type_, "content": content}


def _output(field: str, item: TesOutput) -> OutputRequest:
    path, url = _needed_path(f"{field}.path", item.get("path")), item.get("url")
    if not url:
        raise InvalidField(f"{field}.url", "is needed")
    prefix, type_ = _path(f"{field}.path_prefix", item.get("path_prefix")), _file_type(field, item.get("type"))
    if not WILDCARD.search(path):
        return OutputRequest(url=url, path=re.sub(r"\\([*?\[\]])", r"\1", path), type=type_)
    if prefix is None:
        raise InvalidField(f"{field}.path_prefix", "is needed where path has wildcards")
    if ".." in re.sub(r"\\(.)", r"\1", path).split("/"):
        raise InvalidField(f"{field}.path", "must not contain '..'")
    if not is_beneath(path, prefix):
        raise InvalidField(f"{field}.path_prefix", "must be the beginning of path")
    return OutputRequest(url=url, path=path, type=type_, pattern=True, prefix=prefix)


def _file_type(field: str, name: str | None) -> FileType:
    if name and name not in set(FileType):
        raise InvalidField(f"{field}.type", "must be FILE or DIRECTORY")
    return FileType(name or FileType.FILE)


def _needed_path(field: str, value: str | None) -> str:
    path = _path(field, value)
    if path is None:
        raise InvalidField(field, "is needed")
    if path == "/":
        raise InvalidField(field, "can't be the root folder")
    return path


def _path(field: str, value: str | None) -> str | None:
    return _absolute(field, value) if value else None


def _absolute(field: str, path: str) -> str:
    if not path.startswith("/"):
        raise InvalidField(field, "must be an absolute path")
    if ".." in path.split("/"):
        raise InvalidField(field, "must not contain '..'")
    return normal_path(path)


def _unknown_parameters(resources: TesResources) -> list[str]:
    parameters = resources.get("backend_parameters") or {}
    for name, value in parameters.items():
        if not isinstance(value, str):
            raise InvalidField(f"resources.backend_parameters.{name}", "must be a string")
        if name == NETWORK and value not in {"true", "false"}:
            raise InvalidField(f"resources.backend_parameters.{name}", "must be 'true' or 'false'")
    unknown = [name for name in parameters if name not in BACKEND_PARAMETERS]
    if unknown and resources.get("backend_parameters_strict"):
        field = f"resources.backend_parameters.{unknown[0]}"
        raise InvalidField(field, "is not known to this server, and backend_parameters_strict is set")
    return unknown


def _refuse_clashes(request: TaskRequest) -> None:
    """A file can't be a folder as well: neither may anything else be declared beneath an input file."""
    files = {one["path"] for one in request.inputs if not is_directory(one)}
    for field, path in _needed_folders(request):
        clash = next((parent for parent in (path, *ancestors(path)) if parent in files), None)
        if clash is not None:
            raise InvalidField(field, f"needs a folder where the input {clash} is a file")


def _needed_folders(request: TaskRequest) -> Iterator[tuple[str, str]]:
    """The field that needs it, and the path of a folder."""
    yield from ((f"volumes[{i}]", path) for i, path in enumerate(request.volumes))
    yield from ((f"inputs[{i}].path", parent(one["path"])) for i, one in enumerate(request.inputs))
    yield from ((f"outputs[{i}].path", writable_folder(output)) for i, output in enumerate(request.outputs))
    for i, executor in enumerate(request.executors):
        if workdir := executor.get("workdir"):
            yield f"executors[{i}].workdir", workdir
        streams = (("stdout", executor.get("stdout")), ("stderr", executor.get("stderr")))
        yield from ((f"executors[{i}].{name}", parent(path)) for name, path in streams if path)


def writable_folder(output: OutputRequest) -> str:
    """The folder that a task needs to be able to write to for this output: the deepest one without a wildcard."""
    wildcard = WILDCARD.search(output.path) if output.pattern else None
    if wildcard is not None:
        return parent(output.path[: wildcard.end()])
    return output.path if output.type is FileType.DIRECTORY else parent(output.path)


def is_directory(item: TesInput) -> bool:
    """Whether the input is one."""
    return item.get("type") == FileType.DIRECTORY


def ancestors(path: str) -> tuple[str, ...]:
    """The folders above a normalised path, but not `/`."""
    return tuple(path[:i] for i, letter in enumerate(path) if letter == "/" and i)


def parent(path: str) -> str:
    """The folder of a normalised path."""
    return path.rsplit("/", 1)[0] or "/"


def is_beneath(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it; both normalised."""
    return path == folder or folder == "/" or path.startswith(folder + "/")


def normal_path(path: str) -> str:
    """The one spelling of an absolute path (POSIX lets `//x` mean something else; nobody does)."""
    return "/" + posixpath.normpath(path).lstrip("/")
