"""What the log tells of params that name files of a fetched workflow."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.engine import RunFolder
from common.errors import EngineError
from common.json_types import JsonObject
from wes_service.core.run import ANONYMOUS, Run, RunRequest, RunState
from workers.run.prepare import unattached, workflow_of


def run(url: str = "https://h/wf.cwl", params: JsonObject | None = None) -> Run:
    request = RunRequest(
        workflow_type="CWL", workflow_type_version="v1.2", workflow_url=url, workflow_params=params or {}
    )
    return Run(
        id="r",
        owner=ANONYMOUS,
        state=RunState.INITIALIZING,
        request=request,
        attachments=("mine.txt",),
        engine="cwltool",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_only_files_that_came_with_the_workflow_are_told(tmp_path: Path) -> None:
    folder = RunFolder(root=tmp_path)
    (folder.attachments / "data").mkdir(parents=True)
    for name in ("mine.txt", "data/a.txt", "b.txt"):
        (folder.attachments / name).touch()
    params: JsonObject = {
        "mine": {"class": "File", "path": "mine.txt"},
        "theirs": [{"class": "File", "location": "data/a.txt", "secondaryFiles": [{"class": "File", "path": "b.txt"}]}],
        "folder": {"class": "Directory", "path": "./data"},
        "gone": {"class": "File", "path": "gone.txt"},
        "outside": {"class": "File", "path": "../../../etc/passwd"},
        "absolute": {"class": "File", "path": "/etc/passwd"},
        "text": "b.txt",
    }
    assert unattached(run(params=params), folder) == (
        "workflow_params name files of the fetched workflow: data/a.txt, b.txt, data.",
    )
    assert unattached(run(), folder) == ()


def test_a_url_that_a_newer_api_took_and_this_worker_can_not_fetch_is_the_workflows_fault() -> None:
    with pytest.raises(EngineError, match="not supported here yet"):
        workflow_of(run("trs://h/x"))
