"""The outputs of a Nextflow run: its workflow outputs by their names, other files of its results by their paths."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from common.engine import RunFolder
from common.errors import EngineError
from common.json_types import Json
from common.location import file_path_of, file_url
from common.run_root import RunRoot
from engines.kit.settings import EXECUTOR_FOLDER, OUTPUT_OBJECT
from engines.nextflow.launch import PARAMS_FILE, RESULTS_FOLDER, WORK_FOLDER
from engines.results import LARGEST_OUTPUTS, files_in, read_json


def read_outputs(folder: RunFolder) -> dict[str, Json]:
    """The output object; `EngineError` where the run left none."""
    document = read_json(folder.work / OUTPUT_OBJECT, folder.work, LARGEST_OUTPUTS)
    if not isinstance(document, Mapping):
        raise EngineError("the workflow's outputs are not a JSON object")
    named = document.get("named")
    published = document.get("published")
    paths = [Path(path) for path in published if isinstance(path, str)] if isinstance(published, list) else []
    listed = named if isinstance(named, Mapping) else {}
    folders = output_folders(paths, folder.seen.work, _outdir_param(folder))
    return output_object(listed, [*paths, *_files_in(folders, paths, folder)], folder)


def output_folders(published: Iterable[Path], work: Path, outdir: str | None) -> list[Path]:
    """The folders that hold the run's results: Nextflow's own, the param `outdir`, and those that were published to.

    What other parts of a workflow write there (reports, nf-core's `pipeline_info`) are outputs too.
    """
    tops = [work / path.relative_to(work).parts[0] for path in published if path.is_relative_to(work) and path != work]
    named = [Path(os.path.normpath(work / outdir))] if outdir else []
    inside = [path for path in named if path.is_relative_to(work) and path != work]
    own = {work / name for name in (WORK_FOLDER, EXECUTOR_FOLDER, ".nextflow")}
    return sorted({work / RESULTS_FOLDER, *tops, *inside} - own)


def _outdir_param(folder: RunFolder) -> str | None:
    # The second holds those of an attached params file too.
    for top, name in ((folder.control, PARAMS_FILE), (folder.work, f"{EXECUTOR_FOLDER}/{PARAMS_FILE}")):
        try:
            params = read_json(top / name, top, LARGEST_OUTPUTS)
        except EngineError:
            continue
        outdir = params.get("outdir") if isinstance(params, Mapping) else None
        if isinstance(outdir, str):
            return outdir
    return None


def _files_in(folders: Iterable[Path], published: Collection[Path], folder: RunFolder) -> Iterator[Path]:
    """Files that lie there; what is in a published folder is part of that, and links are followed by nobody."""
    known = set(published)
    for top in folders:
        here = folder.work / top.relative_to(folder.seen.work)
        if top in known or here.is_symlink():
            continue
        for place, names, files in os.walk(here):
            seen = folder.seen.work / Path(place).relative_to(folder.work)
            names[:] = [name for name in names if seen / name not in known]
            yield from (seen / name for name in files if not Path(place, name).is_symlink())


def output_object(named: Mapping[str, Json], published: list[Path], folder: RunFolder) -> dict[str, Json]:
    """A file that has a name is not listed by its path again."""
    listed = {path for item in files_in(dict(named)) if (path := file_path_of(str(item.get("location")))) is not None}
    outputs: dict[str, Json] = dict(named)
    root = RunRoot(folder=folder)
    for path in sorted(set(published) - listed):
        if not any(above in listed for above in path.parents):
            outputs.setdefault(key_of(path, folder.seen.work), _entry(path, root.real_path(path)))
    return outputs


def key_of(path: Path, work: Path) -> str:
    """The path relative to the results folder; to the launch folder for a file that was published elsewhere."""
    for base in (work / RESULTS_FOLDER, work):
        if path.is_relative_to(base) and path != base:
            return str(path.relative_to(base))
    return str(path)


def _entry(path: Path, real: Path | None) -> dict[str, Json]:
    kind = "Directory" if real is not None and real.is_dir() else "File"
    return {"class": kind, "location": file_url(path), "basename": path.name}
