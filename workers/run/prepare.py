"""Disk for a run; and from a claimed run to an engine's job: engine, workflow document, params."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from common.engine import Engine, EngineJob, Installation, RunFolder
from common.errors import DiskFull, EngineNotInstalled
from common.json_types import Json
from common.location import file_url
from wes_service.core.run import Run
from wes_service.core.workflow import AttachedWorkflow
from wes_service.settings import EngineDefaults

GB = 1000**3


@dataclass(frozen=True, kw_only=True)
class Place:
    """What one worker gives to every run: the TES as engines see it, defaults of steps, data read in place."""

    tes_url: str
    default_image: str
    allowed_data: tuple[Path, ...]
    engine_defaults: Mapping[str, EngineDefaults] = field(default_factory=dict)

    def defaults(self, engine: str) -> EngineDefaults:
        """What steps of this engine get that ask for nothing, as far as it differs from other engines."""
        return self.engine_defaults.get(engine, EngineDefaults())


def check_disk(folder: Path, min_free_gb: float) -> None:
    """`DiskFull` where less than `min_free_gb` (GB) is free where the folder is, or is to be."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    free = shutil.disk_usage(there).free / GB
    if free < min_free_gb:
        raise DiskFull(
            f"only {free:.1f} GB are free in {folder}, and no run is started below {min_free_gb:g} GB "
            "(WES_MIN_FREE_GB): free some disk, and what is queued begins"
        )


def choose_installation(run: Run, engine: Engine, installed: Sequence[Installation]) -> Installation:
    """The wanted version, or the newest; `EngineNotInstalled` says how to get it."""
    mine = [item for item in installed if item.engine == engine.name]
    wanted = next((item for item in mine if run.engine_version in {None, item.version}), None)
    if wanted is None:
        version = f" {run.engine_version}" if run.engine_version else ""
        advice = f"'wes engines install {engine.folder_name}' does it"
        raise EngineNotInstalled(f"{engine.name}{version} is not installed on this worker: {advice}")
    return wanted


def engine_job(
    run: Run, engine: Engine, installation: Installation, folder: RunFolder, place: Place, document: AttachedWorkflow
) -> EngineJob:
    """The job for a workflow document that is in place."""
    defaults = {parameter.name: parameter.default for parameter in engine.parameters}
    return EngineJob(
        run_id=run.id,
        folder=folder,
        installation=installation,
        workflow=folder.attachments / document.name,
        fragment=document.fragment,
        params=staged_params(run.request.workflow_params, folder.attachments, run.attachments),
        parameters={**defaults, **run.request.workflow_engine_parameters},
        tes_url=place.tes_url,
        token_file=token_file(folder),
        default_image=place.defaults(engine.name).image or place.default_image,
        allowed_data=place.allowed_data,
    )


def token_file(folder: RunFolder) -> Path:
    """Where the engine finds the secret for the gateway."""
    return folder.control / "tes-token"


def staged_params(params: Mapping[str, Json], root: Path, attachments: Sequence[str]) -> dict[str, Json]:
    """`workflow_params` in which the relative `location` or `path` of a File or Directory is where it was staged.

    Plain strings stay as they are: only the engine knows which of them are file names.
    """
    folders = {str(parent) for name in attachments for parent in PurePosixPath(name).parents} - {"."}
    known = folders | set(attachments)
    return {name: _staged(value, root, known) for name, value in params.items()}


def _staged(value: Json, root: Path, known: set[str]) -> Json:
    if isinstance(value, Mapping):
        inner = {name: _staged(item, root, known) for name, item in value.items()}
        return _located(inner, root, known) if value.get("class") in {"File", "Directory"} else inner
    if isinstance(value, list):
        return [_staged(item, root, known) for item in value]
    return value


def _located(entry: dict[str, Json], root: Path, known: set[str]) -> dict[str, Json]:
    given = entry.get("location", entry.get("path"))
    if not isinstance(given, str):
        return entry
    name = str(PurePosixPath(given))
    if name not in known:
        return entry
    rest = {key: value for key, value in entry.items() if key != "path"}
    return {**rest, "location": file_url(root / name)}
