"""Reads the workflow's inputs: values of the declared types, files where they were staged."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import WDL

from engines.cwl.executor.staging import is_remote
from engines.wdl.executor.load import Refused
from engines.wdl.executor.settings import RunSettings

FILE_CLASSES = frozenset({"File", "Directory"})
LONGEST_LIST = 30
LETS = "lets workflows read"


def load_inputs(settings: RunSettings, target: WDL.Workflow | WDL.Task) -> WDL.Env.Bindings[WDL.Value.Base]:
    """The inputs; raises `WDL.Error.InputError` and `Refused`."""
    params = {name: plain(value) for name, value in settings.params.items()}
    _refuse_unknown(params, target)
    bindings = WDL.values_from_json(params, target.available_inputs, namespace=target.name)
    _refuse_missing(bindings, target)
    return bindings.map(lambda binding: WDL.Env.Binding(binding.name, _located(settings, target, binding)))


def plain(value: Any) -> Any:
    """File objects, as CWL and the outputs of other runs have them, as the paths that WDL's inputs are."""
    if isinstance(value, Mapping):
        place = value.get("location", value.get("path"))
        if value.get("class") in FILE_CLASSES and isinstance(place, str):
            return place
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


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
                raise Refused(f"'{target.name}' has no input '{name}'; it has: {known}") from None


def _names(target: WDL.Workflow | WDL.Task) -> list[str]:
    """All that may be given, without the runtime sections, any part of which may be overridden."""
    names = (each.name for each in target.available_inputs)
    return [f"{target.name}.{name}" for name in names if not name.rpartition(".")[2].startswith("_")]


def _refuse_missing(bindings: Any, target: WDL.Workflow | WDL.Task) -> None:
    missing = [f"{target.name}.{each.name} ({each.value.type})" for each in target.required_inputs.subtract(bindings)]
    if missing:
        raise Refused(f"required inputs are missing: {_listed(missing)}")


def _listed(names: list[str]) -> str:
    shown = sorted(names)[:LONGEST_LIST]
    return (", ".join(shown) or "none") + (", …" if len(names) > LONGEST_LIST else "")


def _located(settings: RunSettings, target: WDL.Workflow | WDL.Task, binding: Any) -> WDL.Value.Base:
    name = f"{target.name}.{binding.name}"
    return WDL.Value.rewrite_paths(binding.value, lambda value: place_of(settings, name, value))


def place_of(settings: RunSettings, name: str, value: Any) -> str:
    """The absolute path of a File or Directory value, or the URL that is left to the TES; `Refused` otherwise."""
    given = str(value.value)
    if is_remote(given):
        return given
    directory = isinstance(value, WDL.Value.Directory)
    kind = "directory" if directory else "file"
    text = unquote(given.removeprefix("file://")) if given.startswith("file://") else given
    path = Path(os.path.normpath(settings.attachments / text))
    named = f"the input '{name}' names the {kind} {given}, which is"
    if not any(path.resolve().is_relative_to(root.resolve()) for root in settings.roots):
        raise Refused(f"{named} neither attached to the run nor in a folder that the server {LETS}")
    if not (path.is_dir() if directory else path.is_file()):
        raise Refused(f"{named} not there; attach it to the run, or name one in a folder that the server {LETS}")
    return str(path)
