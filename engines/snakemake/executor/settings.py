"""The settings of one run, from the file that the adapter wrote."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """One run as the executor sees it; paths are absolute, `parallel` is the number of tasks at once.

    `on_error` is `stop` or `continue`; `retries` how often a failed job is tried again where its rule does not say;
    `max_threads` 0 means no limit. `nested_image` is for rules that need Snakemake itself inside their task and name no
    image; `environment` is where Snakemake is on this machine, which such a task uses if it sees that folder. `conda`:
    whether `conda:` counts.
    """

    workflow: Path
    fragment: str | None
    params: Mapping[str, Any]
    attachments: Path
    work: Path
    environment: Path
    tes_url: str
    token_file: Path
    default_image: str
    nested_image: str
    targets: str
    parallel: int
    retries: int
    latency_wait: int
    max_threads: int
    on_error: str
    conda: bool

    @property
    def own(self) -> Path:
        """What the executor keeps for itself."""
        return self.work / ".wes"

    @property
    def config_file(self) -> Path:
        return self.own / "config.json"

    @property
    def output_object(self) -> Path:
        return self.own / "outputs.json"

    @property
    def failure(self) -> Path:
        return self.own / "failure.json"

    @property
    def progress(self) -> Path:
        return self.own / "progress.json"

    @property
    def target_names(self) -> tuple[str, ...]:
        """Rules and files to make; none means the workflow's default."""
        return (*self.targets.split(), *([self.fragment] if self.fragment else []))

    def make_folders(self) -> None:
        for folder in (self.own / "tmp", self.own / "home"):
            folder.mkdir(parents=True, exist_ok=True)


PATHS = frozenset({"workflow", "attachments", "work", "environment", "token_file"})


def read_settings(path: Path) -> RunSettings:
    """Raises `KeyError` where a field is missing; fields that this version does not know are left out."""
    document = json.loads(path.read_text())
    values: dict[str, Any] = {field.name: document[field.name] for field in fields(RunSettings)}
    values.update({name: Path(values[name]) for name in PATHS})
    return RunSettings(**values)
