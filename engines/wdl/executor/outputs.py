"""What the workflow gives out, as the output object of every engine here: files are CWL File objects."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import WDL

from engines.cwl.executor.staging import file_url, is_remote
from engines.wdl.executor.settings import RunSettings

Locate = Callable[[str], str]


def output_object(settings: RunSettings, target: Any, bindings: Any) -> dict[str, Any]:
    """The outputs by their full names, `workflow.output` (WDL 1.1, JSON Output Format), in their order."""
    copies = Copies(settings)
    order = [output.name for output in target.outputs or ()]
    found = sorted(bindings, key=lambda each: (order.index(each.name) if each.name in order else 0, each.name))
    return {f"{target.name}.{each.name}": plain(each.value, copies.location) for each in found}


def plain(value: WDL.Value.Base, locate: Locate) -> Any:
    """JSON for a value; `locate` gives the URL of a path."""
    if isinstance(value, WDL.Value.File | WDL.Value.Directory):
        path = value.value.rstrip("/")
        kind = "Directory" if isinstance(value, WDL.Value.Directory) else "File"
        return {"class": kind, "location": locate(path), "basename": os.path.basename(path)}  # noqa: PTH119 - or a URL
    if isinstance(value, WDL.Value.Array):
        return [plain(item, locate) for item in value.value]
    if isinstance(value, WDL.Value.Pair):
        return {"left": plain(value.value[0], locate), "right": plain(value.value[1], locate)}
    if isinstance(value, WDL.Value.Map):
        return {key.coerce(WDL.Type.String()).value: plain(item, locate) for key, item in value.value}
    if isinstance(value, WDL.Value.Struct):
        return {name: plain(item, locate) for name, item in value.value.items()}
    return value.json


class Copies:
    """Inputs that are given out as they are, copied to where the run's own files lie, each once."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._made: dict[Path, Path] = {}

    def location(self, path: str) -> str:
        if is_remote(path):
            return path
        real = Path(os.path.realpath(path))
        if real.is_relative_to(self._settings.work.resolve()):
            return file_url(str(real))
        return file_url(str(self._copy(real)))

    def _copy(self, real: Path) -> Path:
        if real not in self._made:
            place = self._settings.passed_on / str(len(self._made) + 1) / real.name
            place.parent.mkdir(parents=True)
            if real.is_dir():
                shutil.copytree(real, place)
            else:
                shutil.copyfile(real, place)
            self._made[real] = place
        return self._made[real]
