"""The operations of TES, without HTTP and without a supervisor."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from tes_service.access import AllowedFolders
from tes_service.errors import NoSuchTask
from tes_service.parse import parse_task
from tes_service.service import Service
from tes_service.store import Store
from tes_service.supervise import Supervisor
from tes_service.task import View


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    store = Store(tmp_path / "tes.sqlite")
    yield Service(store=store, supervisor=cast("Supervisor", None), allowed=AllowedFolders(), info={})
    store.close()


def test_a_poll_for_the_state_does_not_read_the_task(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    request = parse_task({"executors": [{"image": "i", "command": ["c"]}]})
    service.store.add("t1", datetime(2026, 1, 1, tzinfo=UTC), request, {})
    assert service.get("t1", View.BASIC)["executors"]

    def read(*_: object) -> None:
        raise AssertionError("the whole task was read")

    monkeypatch.setattr(Store, "get", read)
    assert service.get("t1", View.MINIMAL) == {"id": "t1", "state": "QUEUED"}
    with pytest.raises(NoSuchTask):
        service.get("t2", View.MINIMAL)
