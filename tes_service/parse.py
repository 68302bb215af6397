"""From the document of POST /tasks to values; `InvalidField` names what is wrong (acceptance: tes, 1 and 5)."""

import re
from collections.abc import Mapping
from typing import NoReturn

from common.errors import InvalidField, InvalidRequest
from common.json_types import Json, JsonObject
from tes_service.fields import Fields
from tes_service.task import Executor, FileType, Input, Output, Resources, TaskRequest, is_beneath, normal

WILDCARD = re.compile(r"(?<!\\)[*?\[]")
ENV_NAME = re.compile(r"[^=\0]+")
KNOWN: Mapping[str, frozenset[str]] = {
    "": frozenset(
        {"name", "description", "inputs", "outputs", "resources", "executors", "volumes", "tags"},
    ),
    "inputs": frozenset({"name", "description", "url", "path", "type", "content", "streamable"}),
    "outputs": frozenset({"name", "description", "url", "path", "path_prefix", "type"}),
    "executors": frozenset({"image", "command", "workdir", "stdin", "stdout", "stderr", "env", "ignore_error"}),
    "resources": frozenset(
        {
            "cpu_cores",
            "preemptible",
            "ram_gb",
            "disk_gb",
            "zones",
            "backend_parameters",
            "backend_parameters_strict",
        }
    ),
}
"""The fields of each object of the standard that a client may set; others are ignored."""

BACKEND_PARAMETERS: tuple[str, ...] = ()
"""The backend parameters that this server knows: it has none."""


def parse_task(body: Json) -> TaskRequest:
    """Checks everything that can be checked without looking at a file."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("the body must be a JSON object, a tesTask")
    task = Fields(document=body)
    name = task.any_text("name") or ""
    task.any_text("description")
    resources, notes = _resources(task.object("resources"))
    request = TaskRequest(
        name=name,
        inputs=_inputs(task),
        outputs=tuple(_output(part) for part in task.objects("outputs")),
        executors=_executors(task),
        volumes=tuple(_absolute(task, f"volumes[{i}]", path) for i, path in enumerate(task.texts("volumes"))),
        resources=resources,
        tags=task.mapping("tags"),
        document=_known(body, notes),
        notes=notes,
    )
    _refuse_clashes(request)
    return request


def _executors(task: Fields) -> tuple[Executor, ...]:
    executors = tuple(_executor(part) for part in task.objects("executors"))
    if not executors:
        raise InvalidField("executors", "at least one is needed")
    return executors


def _executor(part: Fields) -> Executor:
    image = part.text("image")
    if image is None or image.startswith("-") or any(letter.isspace() for letter in image):
        raise part.fail("image", "is needed: the name of a container image")
    command = part.texts("command")
    if not command or not command[0]:
        raise part.fail("command", "is needed: the program and its arguments")
    return Executor(
        image=image,
        command=command,
        workdir=_path(part, "workdir"),
        stdin=_path(part, "stdin"),
        stdout=_path(part, "stdout"),
        stderr=_path(part, "stderr"),
        env=_environment(part),
        ignore_error=part.flag("ignore_error"),
    )


def _environment(part: Fields) -> Mapping[str, str]:
    env = part.mapping("env")
    for name, value in env.items():
        if not ENV_NAME.fullmatch(name) or "\0" in value:
            raise part.fail(f"env.{name}", "is no environment variable")
    return env


def _inputs(task: Fields) -> tuple[Input, ...]:
    found: dict[str, Input] = {}
    for part in task.objects("inputs"):
        one = _input(part)
        if found.setdefault(one.path, one) != one:
            raise part.fail("path", "is the path of another input as well")
    return tuple(found.values())


def _input(part: Fields) -> Input:
    path = _needed_path(part)
    url, content = part.text("url"), part.any_text("content")
    if url is not None and content:
        raise part.fail("content", "can't be given together with url")
    if url is None and content is None:
        raise part.fail("url", "is needed (or content)")
    kind = _type(part)
    if url is None and kind is FileType.DIRECTORY:
        raise part.fail("type", "content is always a FILE")
    part.any_text("name")
    part.any_text("description")
    part.flag("streamable")
    return Input(path=path, type=kind, url=url, content=None if url else content)


def _output(part: Fields) -> Output:
    path, url = _needed_path(part), part.text("url")
    if url is None:
        raise part.fail("url", "is needed")
    prefix = _path(part, "path_prefix")
    part.any_text("name")
    part.any_text("description")
    kind = _type(part)
    if not WILDCARD.search(path):
        return Output(url=url, path=re.sub(r"\\([*?\[\]])", r"\1", path), type=kind)
    if prefix is None:
        raise part.fail("path_prefix", "is needed where path has wildcards")
    if ".." in re.sub(r"\\(.)", r"\1", path).split("/"):
        raise part.fail("path", "must not contain '..'")
    if not is_beneath(path, prefix):
        raise part.fail("path_prefix", "must be the beginning of path")
    return Output(url=url, path=path, type=kind, pattern=True, prefix=prefix)


def _type(part: Fields) -> FileType:
    value = part.text("type") or FileType.FILE
    if value not in set(FileType):
        raise part.fail("type", "must be FILE or DIRECTORY")
    return FileType(value)


def _needed_path(part: Fields) -> str:
    path = _path(part, "path")
    if path is None:
        raise part.fail("path", "is needed")
    if path == "/":
        raise part.fail("path", "can't be the root folder")
    return path


def _path(part: Fields, key: str) -> str | None:
    value = part.text(key)
    return None if value is None else _absolute(part, key, value)


def _absolute(part: Fields, key: str, path: str) -> str:
    if not path.startswith("/"):
        raise part.fail(key, "must be an absolute path")
    if ".." in path.split("/"):
        raise part.fail(key, "must not contain '..'")
    return normal(path)


def _resources(part: Fields) -> tuple[Resources, tuple[str, ...]]:
    resources = Resources(
        cpu_cores=part.count("cpu_cores") or None,
        ram_gb=part.number("ram_gb") or None,
        disk_gb=part.number("disk_gb") or None,
    )
    part.flag("preemptible")
    part.texts("zones")
    unknown = [name for name in part.mapping("backend_parameters") if name not in BACKEND_PARAMETERS]
    if unknown and part.flag("backend_parameters_strict"):
        _refuse_parameter(part, unknown[0])
    part.flag("backend_parameters_strict")
    return resources, tuple(f"backend parameter {name!r} is not known here and was dropped" for name in unknown)


def _refuse_parameter(part: Fields, name: str) -> NoReturn:
    raise part.fail(f"backend_parameters.{name}", "is not known to this server, and backend_parameters_strict is set")


def _refuse_clashes(request: TaskRequest) -> None:
    """A file can't be a folder as well: neither may anything else be declared beneath an input file."""
    files = {one.path for one in request.inputs if one.type is FileType.FILE}
    for field, path in _folders(request):
        parents = [path, *(path[:i] for i, letter in enumerate(path) if letter == "/" and i)]
        clash = next((parent for parent in parents if parent in files), None)
        if clash is not None:
            raise InvalidField(field, f"needs a folder where the input {clash} is a file")


def _folders(request: TaskRequest) -> list[tuple[str, str]]:
    """Every path that has to be a folder, and the field that says so."""
    named = [(f"volumes[{i}]", path) for i, path in enumerate(request.volumes)]
    named += [(f"inputs[{i}].path", _parent(one.path)) for i, one in enumerate(request.inputs)]
    for i, output in enumerate(request.outputs):
        named.append((f"outputs[{i}].path", writable_folder(output)))
    for i, executor in enumerate(request.executors):
        if executor.workdir:
            named.append((f"executors[{i}].workdir", executor.workdir))
        streams = {"stdout": executor.stdout, "stderr": executor.stderr}
        named += [(f"executors[{i}].{key}", _parent(path)) for key, path in streams.items() if path]
    return named


def writable_folder(output: Output) -> str:
    """The folder that a task needs to be able to write to for this output: the deepest one without a wildcard."""
    wildcard = WILDCARD.search(output.path) if output.pattern else None
    if wildcard is not None:
        return _parent(output.path[: wildcard.end()])
    return output.path if output.type is FileType.DIRECTORY else _parent(output.path)


def _parent(path: str) -> str:
    return path.rsplit("/", 1)[0] or "/"


def _known(body: JsonObject, notes: tuple[str, ...]) -> JsonObject:
    kept = {key: value for key, value in body.items() if key in KNOWN[""] and value is not None}
    for key in ("inputs", "outputs", "executors"):
        if key in kept:
            kept[key] = [_only(item, KNOWN[key]) for item in _list(kept[key])]
    if "resources" in kept:
        resources = _only(kept["resources"], KNOWN["resources"])
        if notes:
            given = _only(resources.get("backend_parameters"), frozenset(BACKEND_PARAMETERS))
            resources = {**resources, "backend_parameters": given}
        kept["resources"] = resources
    return kept


def _only(value: Json, names: frozenset[str]) -> JsonObject:
    if not isinstance(value, Mapping):
        return {}
    return {key: item for key, item in value.items() if key in names and item is not None}


def _list(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list) else []
