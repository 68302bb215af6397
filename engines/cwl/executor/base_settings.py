"""What the settings of one run hold in every engine, and how they are read from the file that the adapter wrote."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar


@dataclass(frozen=True, kw_only=True)
class BaseSettings:
    """One run as an executor sees it; paths are absolute, `parallel` is the number of tasks at once."""

    workflow: Path
    fragment: str | None
    params: Mapping[str, Any]
    attachments: Path
    work: Path
    tes_url: str
    token_file: Path
    default_image: str
    parallel: int

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

    def make_folders(self) -> None:
        for folder in (self.own / "tmp", self.own / "home"):
            folder.mkdir(parents=True, exist_ok=True)


Settings = TypeVar("Settings", bound=BaseSettings)


def read_as(kind: type[Settings], path: Path) -> Settings:
    """Raises `KeyError` where a field is missing; fields that this version does not know are left out."""
    document = json.loads(path.read_text())
    return kind(**{field.name: _typed(field.type, document[field.name]) for field in fields(kind)})


def _typed(kind: Any, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    return tuple(Path(one) for one in value) if kind == tuple[Path, ...] else value
