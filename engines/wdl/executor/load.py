"""Reads the workflow and its inputs: documents are attachments, and so are files, or lie where reading is allowed."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import WDL

from engines.kit.files import is_remote
from engines.kit.network import UnreadableUrl, is_on_web, read_document
from engines.wdl.executor.coercion import coerced
from engines.wdl.executor.settings import WdlSettings

FILE_CLASSES = frozenset({"File", "Directory"})
LONGEST_LIST = 30
MAY_READ = "lets workflows read"


class WorkflowRejected(Exception):
    """The document or its inputs can't be run here; the message is for a person."""


def load_target(settings: WdlSettings) -> WDL.Workflow | WDL.Task:
    """The workflow of the document, its only task, or the task that `fragment` names.

    Raises miniwdl's own exceptions for a document that is not valid, and `WorkflowRejected`.
    """
    document = WDL.load(str(settings.workflow), read_source=_reader(settings), check_quant=settings.check_quant)
    return _chosen(document, settings.workflow.name, settings.fragment)


def _chosen(document: WDL.Document, name: str, fragment: str | None) -> WDL.Workflow | WDL.Task:
    tasks = {task.name: task for task in document.tasks}
    if fragment:
        if document.workflow and document.workflow.name == fragment:
            return document.workflow
        if fragment in tasks:
            return tasks[fragment]
        known = ", ".join(sorted([*tasks, *([document.workflow.name] if document.workflow else [])])) or "nothing"
        raise WorkflowRejected(f"{name} has no workflow or task '{fragment}'; it has: {known}")
    if document.workflow:
        return document.workflow
    if len(tasks) == 1:
        return next(iter(tasks.values()))
    if not tasks:
        raise WorkflowRejected(f"{name} has neither a workflow nor a task")
    several = ", ".join(sorted(tasks))
    raise WorkflowRejected(
        f"{name} has several tasks and no workflow: name one with workflow_url '{name}#TASK'; it has: {several}"
    )


def _reader(settings: WdlSettings) -> object:
    root = settings.attachments.resolve()

    async def read(uri: str, path: list[str], importer: WDL.Document | None) -> WDL.ReadSourceResult:
        del path
        if importer and is_on_web(importer.pos.abspath):
            # Relative to a document on the web, or another place of it: never a file of this machine.
            uri = urljoin(importer.pos.abspath, uri)
        if is_on_web(uri):
            return WDL.ReadSourceResult(_from_web(uri), uri)
        beside = Path(importer.pos.abspath).parent if importer else root
        document = Path(os.path.normpath(beside / uri.removeprefix("file://")))
        if not document.resolve().is_relative_to(root):
            raise WorkflowRejected("it is not among the attachments")
        if not document.is_file():
            raise WorkflowRejected("there is no such attachment")
        return WDL.ReadSourceResult(document.read_text(), str(document))

    return read


def _from_web(url: str) -> str:
    try:
        return read_document(url)
    except UnreadableUrl as error:
        raise WorkflowRejected(f"{error}; attach the file and import that") from None


def load_inputs(settings: WdlSettings, target: WDL.Workflow | WDL.Task) -> WDL.Env.Bindings[WDL.Value.Base]:
    """The inputs; raises `WDL.Error.InputError` and `WorkflowRejected`."""
    params = {name: _plain(value) for name, value in settings.params.items()}
    _refuse_unknown(params, target)
    bindings = _values(settings, params, target)
    _refuse_missing(bindings, target)
    return bindings.map(lambda binding: WDL.Env.Binding(binding.name, _located(settings, target, binding)))


def _values(settings: WdlSettings, params: Mapping[str, Any], target: WDL.Workflow | WDL.Task) -> Any:
    try:
        given = _coerced(params, target) if settings.coerce else params
        return WDL.values_from_json(given, target.available_inputs, namespace=target.name)
    except WDL.Error.InputError as error:
        if settings.coerce:
            raise
        with contextlib.suppress(WDL.Error.InputError):
            WDL.values_from_json(_coerced(params, target), target.available_inputs, namespace=target.name)
            raise WorkflowRejected(f"{error}; the engine parameter 'coerce' set to true takes it as it is") from None
        raise


def _coerced(params: Mapping[str, Any], target: WDL.Workflow | WDL.Task) -> dict[str, Any]:
    declared = {each.name: each.value.type for each in target.available_inputs}
    start = f"{target.name}."
    return {
        name: coerced(declared.get(name.removeprefix(start), WDL.Type.Any()), each) for name, each in params.items()
    }


def _plain(value: Any) -> Any:
    """File objects, as CWL and the outputs of other runs have them, as the paths that WDL's inputs are."""
    if isinstance(value, Mapping):
        path = value.get("location", value.get("path"))
        if value.get("class") in FILE_CLASSES and isinstance(path, str):
            return path
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _refuse_unknown(params: Mapping[str, Any], target: WDL.Workflow | WDL.Task) -> None:
    for name in params:
        if name.startswith("#"):
            continue
        try:
            # miniwdl itself knows which names are short forms of others.
            WDL.values_from_json({name: None}, target.available_inputs, namespace=target.name)
        except WDL.Error.InputError as error:
            if "unknown input" in str(error):
                known = _listed(_names(target))
                raise WorkflowRejected(f"'{target.name}' has no input '{name}'; it has: {known}") from None


def _names(target: WDL.Workflow | WDL.Task) -> list[str]:
    """All that may be given, without the runtime sections, any part of which may be overridden."""
    names = (each.name for each in target.available_inputs)
    return [f"{target.name}.{name}" for name in names if not name.rpartition(".")[2].startswith("_")]


def _refuse_missing(bindings: Any, target: WDL.Workflow | WDL.Task) -> None:
    missing = [f"{target.name}.{each.name} ({each.value.type})" for each in target.required_inputs.subtract(bindings)]
    if missing:
        raise WorkflowRejected(f"required inputs are missing: {_listed(missing)}")


def _listed(names: list[str]) -> str:
    shown = sorted(names)[:LONGEST_LIST]
    return (", ".join(shown) or "none") + (", …" if len(names) > LONGEST_LIST else "")


def _located(settings: WdlSettings, target: WDL.Workflow | WDL.Task, binding: Any) -> WDL.Value.Base:
    name = f"{target.name}.{binding.name}"
    return WDL.Value.rewrite_paths(binding.value, lambda value: _path_or_url(settings, name, value))


def _path_or_url(settings: WdlSettings, name: str, value: Any) -> str:
    """The absolute path of a File or Directory value, or the URL that is left to the TES."""
    location = str(value.value)
    if is_remote(location):
        return location
    directory = isinstance(value, WDL.Value.Directory)
    kind = "directory" if directory else "file"
    text = unquote(location.removeprefix("file://")) if location.startswith("file://") else location
    path = Path(os.path.normpath(settings.attachments / text))
    named = f"the input '{name}' names the {kind} {location}, which is"
    if not any(path.resolve().is_relative_to(root.resolve()) for root in settings.roots):
        raise WorkflowRejected(f"{named} neither attached to the run nor in a folder that the server {MAY_READ}")
    if not (path.is_dir() if directory else path.is_file()):
        raise WorkflowRejected(
            f"{named} not there; attach it to the run, or name one in a folder that the server {MAY_READ}"
        )
    return str(path)
