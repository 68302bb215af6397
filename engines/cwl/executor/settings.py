"""The settings of one run, from the file that the adapter wrote."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """One run as the executor sees it; paths are absolute, `parallel` is the number of tasks at once.

    `on_error` is `stop` or `continue`, `max_retries` how often a task that the TES lost or that ended with one of its
    temporary-failure codes is sent again.
    """

    workflow: Path
    fragment: str | None
    params: Mapping[str, Any]
    attachments: Path
    work: Path
    tes_url: str
    token_file: Path
    default_image: str
    parallel: int
    max_retries: int
    on_error: str
    expression_timeout: int

    @property
    def own(self) -> Path:
        """What the executor keeps for itself."""
        return self.work / ".wes"

    @property
    def scratch(self) -> Path:
        return self.own / "tmp"

    @property
    def steps(self) -> Path:
        return self.work / "steps"

    @property
    def outputs(self) -> Path:
        return self.work / "outputs"

    @property
    def output_object(self) -> Path:
        return self.work / "cwl.output.json"

    @property
    def failure(self) -> Path:
        return self.own / "failure.json"

    @property
    def progress(self) -> Path:
        return self.own / "progress.json"

    @property
    def empty(self) -> Path:
        """A folder that stays empty, which stands for every empty directory."""
        return self.own / "empty"

    @property
    def literals(self) -> Path:
        return self.own / "literals"

    def make_folders(self) -> None:
        for folder in (self.scratch, self.own / "home", self.steps, self.empty, self.literals):
            folder.mkdir(parents=True, exist_ok=True)


PATHS = frozenset({"workflow", "attachments", "work", "token_file"})


def read_settings(path: Path) -> RunSettings:
    """Raises `KeyError` where a field is missing; fields that this version does not know are left out."""
    document = json.loads(path.read_text())
    values: dict[str, Any] = {field.name: document[field.name] for field in fields(RunSettings)}
    values.update({name: Path(values[name]) for name in PATHS})
    return RunSettings(**values)
