"""Which files a task of a run may name: its own folder and the data folders that the operator allows."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wes_service.core.errors import InvalidField
from wes_service.core.file_url import path_of
from wes_service.core.json_types import Json


@dataclass(frozen=True, kw_only=True)
class FilePolicy:
    """Folders that tasks of one run may read from and write to, as real paths."""

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]

    def check(self, body: Mapping[str, Json]) -> None:
        """`InvalidField` names the first input or output whose `file://` URL is not this run's."""
        for index, item in enumerate(_documents(body.get("inputs"))):
            self._check_url(f"inputs[{index}].url", item.get("url"), (*self.readable, *self.writable))
        for index, item in enumerate(_documents(body.get("outputs"))):
            self._check_url(f"outputs[{index}].url", item.get("url"), self.writable)

    def _check_url(self, field: str, url: Json, roots: Sequence[Path]) -> None:
        path = path_of(url) if isinstance(url, str) else None
        if path is None:
            return
        real = Path(os.path.realpath(path))
        if not any(real == root or root in real.parents for root in roots):
            problem = f"{path} is neither in this run's folder nor in a folder that --allow-data names"
            raise InvalidField(field, problem)


def _documents(value: Json) -> list[Mapping[str, Json]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
