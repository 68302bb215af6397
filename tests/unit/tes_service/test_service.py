"""The operations of TES, without HTTP and without a scheduler."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from common.object_store import ObjectStores
from tes.task import View
from tes_service.errors import NoSuchTask
from tes_service.folder_access import AllowedFolders
from tes_service.scheduler import TaskScheduler
from tes_service.service import TaskService
from tes_service.store import TaskDatabase
from tes_service.task_request import task_request


@pytest.fixture
def service(tmp_path: Path) -> Iterator[TaskService]:
    store = TaskDatabase(tmp_path / "tes.sqlite")
    yield TaskService(
        store=store, scheduler=cast("TaskScheduler", None), allowed=AllowedFolders(), stores=ObjectStores({}), info={}
    )
    store.close()


def test_a_poll_for_the_state_does_not_read_the_task(service: TaskService, monkeypatch: pytest.MonkeyPatch) -> None:
    request = task_request({"executors": [{"image": "i", "command": ["c"]}]})
    service.store.add("t1", datetime(2026, 1, 1, tzinfo=UTC), request, {})
    assert service.get("t1", View.BASIC)["executors"]

    def read(*_: object) -> None:
        raise AssertionError("the whole task was read")

    monkeypatch.setattr(TaskDatabase, "get", read)
    assert service.get("t1", View.MINIMAL) == {"id": "t1", "state": "QUEUED"}
    with pytest.raises(NoSuchTask):
        service.get("t2", View.MINIMAL)
