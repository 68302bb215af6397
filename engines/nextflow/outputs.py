"""The outputs of a Nextflow run: its workflow outputs by their names, other published files by their paths."""

from collections.abc import Mapping
from pathlib import Path

from engines.nextflow.run_files import OWN, RESULTS
from engines.output_object import files_in, read_json
from wes_service.core.engine import RunFolder
from wes_service.core.errors import EngineError
from wes_service.core.json_types import Json
from wes_service.core.location import file_path_of, file_url

LARGEST = 64 * 1024 * 1024


def read_outputs(folder: RunFolder) -> dict[str, Json]:
    """The output object; `EngineError` where the run left none."""
    document = read_json(folder.work / OWN / "outputs.json", folder.work, LARGEST)
    if not isinstance(document, Mapping):
        raise EngineError("the workflow's outputs are not a JSON object")
    named = document.get("named")
    published = document.get("published")
    return output_object(
        named if isinstance(named, Mapping) else {},
        [Path(path) for path in published if isinstance(path, str)] if isinstance(published, list) else [],
        folder.work,
    )


def output_object(named: Mapping[str, Json], published: list[Path], work: Path) -> dict[str, Json]:
    """A file that has a name is not listed by its path again."""
    listed = {path for item in files_in(dict(named)) if (path := file_path_of(str(item.get("location")))) is not None}
    outputs: dict[str, Json] = dict(named)
    for path in sorted(set(published) - listed):
        if not any(above in listed for above in path.parents):
            outputs.setdefault(key_of(path, work), _entry(path))
    return outputs


def key_of(path: Path, work: Path) -> str:
    """The path relative to the results folder; to the launch folder for a file that was published elsewhere."""
    for base in (work / RESULTS, work):
        if path.is_relative_to(base) and path != base:
            return str(path.relative_to(base))
    return str(path)


def _entry(path: Path) -> dict[str, Json]:
    kind = "Directory" if path.is_dir() else "File"
    return {"class": kind, "location": file_url(path), "basename": path.name}
