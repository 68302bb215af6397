"""The settings of one run: written by the engine's adapter, read by its executor."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

EXECUTOR_FOLDER = ".wes"
"""Below the run's work folder: what the executor keeps for itself, and what it reports."""
OUTPUT_OBJECT = f"{EXECUTOR_FOLDER}/outputs.json"
FAILURE = f"{EXECUTOR_FOLDER}/failure.json"
PROGRESS = f"{EXECUTOR_FOLDER}/progress.json"
"""Replaced as a whole whenever it changes."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What every executor needs to know of its run; an engine adds its own fields in a subclass.

    Paths are absolute. `fragment`: what followed `#` in `workflow_url`. `params`: `workflow_params`, in which files
    that were attached are `file://` URLs. `tes_url`: base URL of the TES (`…/ga4gh/tes/v1`), `token_file` holds the
    bearer token for it. `default_image`: for steps that name none. `parallel`: the most tasks at once.
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

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises `KeyError` for a missing field; fields that this version doesn't know are ignored."""
        document = json.loads(path.read_text())
        return cls(**{field.name: _typed(field.type, document[field.name]) for field in fields(cls)})

    def as_json(self) -> str:
        """The text of the file that `read` takes."""
        return json.dumps(asdict(self), default=str, indent=1)

    @property
    def executor_folder(self) -> Path:
        """What the executor keeps for itself."""
        return self.work / EXECUTOR_FOLDER

    @property
    def home(self) -> Path:
        """The home folder of the engine's process."""
        return self.executor_folder / "home"

    @property
    def scratch(self) -> Path:
        """For temporary files."""
        return self.executor_folder / "tmp"

    @property
    def output_object(self) -> Path:
        """The file with the run's outputs, as the server reads them."""
        return self.work / OUTPUT_OBJECT

    @property
    def failure(self) -> Path:
        """The file with the reason why the run failed."""
        return self.work / FAILURE

    @property
    def progress(self) -> Path:
        """The file with the numbers of steps."""
        return self.work / PROGRESS

    def make_folders(self) -> None:
        """Those that have to be there before the engine starts."""
        for folder in (self.scratch, self.home):
            folder.mkdir(parents=True, exist_ok=True)


def _typed(kind: Any, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    return tuple(Path(path) for path in value) if kind == tuple[Path, ...] else value
