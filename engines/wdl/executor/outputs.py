"""What the workflow gives out, as the output object of every engine here: files are CWL File objects."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import WDL

from engines.kit.files import file_url, is_remote
from engines.wdl.executor.settings import WdlSettings

UrlOfPath = Callable[[str], str]


def output_object(settings: WdlSettings, target: Any, bindings: Any) -> dict[str, Any]:
    """The outputs by their full names, `workflow.output` (WDL 1.1, JSON Output Format), in their order."""
    copies = InputCopies(settings)
    order = [output.name for output in target.outputs or ()]
    outputs = sorted(bindings, key=lambda each: (order.index(each.name) if each.name in order else 0, each.name))
    return {f"{target.name}.{each.name}": output_value(each.value, copies.url_of) for each in outputs}


def output_value(value: WDL.Value.Base, url_of: UrlOfPath) -> Any:
    """JSON for a value; `url_of` gives the URL of a path."""
    if isinstance(value, WDL.Value.File | WDL.Value.Directory):
        path = value.value.rstrip("/")
        kind = "Directory" if isinstance(value, WDL.Value.Directory) else "File"
        return {"class": kind, "location": url_of(path), "basename": os.path.basename(path)}  # noqa: PTH119 - or a URL
    if isinstance(value, WDL.Value.Array):
        return [output_value(item, url_of) for item in value.value]
    if isinstance(value, WDL.Value.Pair):
        return {"left": output_value(value.value[0], url_of), "right": output_value(value.value[1], url_of)}
    if isinstance(value, WDL.Value.Map):
        return {key.coerce(WDL.Type.String()).value: output_value(item, url_of) for key, item in value.value}
    if isinstance(value, WDL.Value.Struct):
        return {name: output_value(item, url_of) for name, item in value.value.items()}
    return value.json


class InputCopies:
    """Inputs that are given out as they are, copied to where the run's own files lie, each once."""

    def __init__(self, settings: WdlSettings) -> None:
        self._settings = settings
        self._made: dict[Path, Path] = {}

    def url_of(self, path: str) -> str:
        if is_remote(path):
            return path
        real = Path(os.path.realpath(path))
        if real.is_relative_to(self._settings.work.resolve()):
            return file_url(real)
        return file_url(self._copy(real))

    def _copy(self, real: Path) -> Path:
        if real not in self._made:
            copy = self._settings.passed_on / str(len(self._made) + 1) / real.name
            copy.parent.mkdir(parents=True)
            if real.is_dir():
                shutil.copytree(real, copy)
            else:
                shutil.copyfile(real, copy)
            self._made[real] = copy
        return self._made[real]
