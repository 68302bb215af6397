"""The settings of one run, from the file that the adapter wrote."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """One run as the executor sees it; paths are absolute.

    `fragment` names a task where not the document's workflow is wanted. `readable`: folders besides `attachments` and
    `work` whose files inputs may name. `parallel` is the number of tasks at once, `max_retries` how often a task is
    tried again that does not say so itself, `on_error` is `stop` or `finish`.
    """

    workflow: Path
    fragment: str | None
    params: Mapping[str, Any]
    attachments: Path
    work: Path
    readable: tuple[Path, ...]
    tes_url: str
    token_file: Path
    default_image: str
    parallel: int
    max_retries: int
    on_error: str
    check_quant: bool

    @property
    def own(self) -> Path:
        """What the executor keeps for itself."""
        return self.work / ".wes"

    @property
    def failure(self) -> Path:
        return self.own / "failure.json"

    @property
    def progress(self) -> Path:
        return self.own / "progress.json"

    @property
    def output_object(self) -> Path:
        return self.work / "wdl.output.json"

    @property
    def passed_on(self) -> Path:
        """Copies of inputs that the workflow gives out as they are."""
        return self.work / "outputs"

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders whose files the workflow may name."""
        return (self.attachments, self.work, *self.readable)

    def make_folders(self) -> None:
        for folder in (self.own / "tmp", self.own / "home"):
            folder.mkdir(parents=True, exist_ok=True)

    def new_run_folder(self) -> Path:
        """For miniwdl's own files; a run that is started again must find an empty one."""
        number = 1
        while True:
            folder = self.work / ("run" if number == 1 else f"run~{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
                continue
            return folder


PATHS = frozenset({"workflow", "attachments", "work", "token_file"})


def read_settings(path: Path) -> RunSettings:
    """Raises `KeyError` where a field is missing; fields that this version does not know are left out."""
    document = json.loads(path.read_text())
    values: dict[str, Any] = {field.name: document[field.name] for field in fields(RunSettings)}
    values.update({name: Path(values[name]) for name in PATHS})
    values["readable"] = tuple(Path(folder) for folder in values["readable"])
    return RunSettings(**values)
