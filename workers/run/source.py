"""The workflow of a run that was not attached: fetched, and where it came from recorded."""

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from common.engine import RunFolder
from common.errors import EngineError, InvalidField
from common.json_types import Json
from sandbox.identity import Identity
from wes_service.core.run import Run
from wes_service.core.workflow import SOURCE_FILE, AttachedWorkflow, Fetched, RemoteWorkflow, workflow_named


def workflow_of(run: Run) -> AttachedWorkflow | RemoteWorkflow:
    """What `workflow_url` names; `EngineError` where it is nothing that can be run."""
    try:
        return workflow_named(run.request.workflow_url, run.attachments)
    except InvalidField as error:
        raise EngineError(str(error)) from None


def write_source(folder: RunFolder, fetched: Fetched, identity: Identity) -> None:
    """Where a fetched workflow came from, in the logs, where the engine can't change it."""
    path = folder.logs / SOURCE_FILE
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(fetched.source))
    identity.own(unfinished)
    # Whoever reads it meanwhile finds all of it, or nothing.
    unfinished.rename(path)


def unattached(run: Run, folder: RunFolder) -> tuple[str, ...]:
    """A line for the log on files that the params name and that came with a fetched workflow, not from the user."""
    names = [name for name in _file_names(run.request.workflow_params) if name not in run.attachments]
    found = [name for name in names if (folder.attachments / name).exists()]
    return (f"workflow_params name files of the fetched workflow: {', '.join(found[:10])}.",) if found else ()


def _file_names(value: Json) -> Iterator[str]:
    if isinstance(value, Mapping):
        given = value.get("location", value.get("path"))
        if value.get("class") in {"File", "Directory"} and isinstance(given, str) and _is_inside(given):
            yield str(PurePosixPath(given))
    if isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _file_names(item)


def _is_inside(name: str) -> bool:
    return (
        bool(name)
        and "\0" not in name
        and not name.startswith("/")
        and ".." not in name.split("/")
        and len(name) < 1000
    )
