"""How far a run is."""

import json

import pytest

from wes_service.core.run_log import Progress, shown_by_tasks, told_by_engine


def test_an_engines_document_is_read() -> None:
    raw = json.dumps({"known": 9, "running": 2, "done": 3, "failed": 1, "cached": 1}).encode()
    assert told_by_engine(raw) == Progress(known=9, running=2, done=3, failed=1, cached=1)
    assert told_by_engine(b'{"known": null, "running": 0, "done": 0}') == Progress()


NOT_PROGRESS = [b"", b"{", b"[]", b"{}", b'{"running": -1, "done": 0}', b'{"running": true, "done": 1}']


@pytest.mark.parametrize("raw", NOT_PROGRESS)
def test_what_foreign_code_wrote_instead_is_left_aside(raw: bytes) -> None:
    assert told_by_engine(raw) is None


def test_without_it_tasks_are_counted() -> None:
    counts = {"QUEUED": 1, "RUNNING": 2, "COMPLETE": 4, "EXECUTOR_ERROR": 1, "SYSTEM_ERROR": 1, "CANCELED": 5}
    assert shown_by_tasks(counts) == Progress(running=3, done=4, failed=2)


def test_an_unknown_total_is_left_out() -> None:
    assert Progress(done=1).as_json() == {"running": 0, "done": 1, "failed": 0, "cached": 0}
    assert Progress(known=2).as_json()["known"] == 2


def test_progress_without_end_is_no_progress() -> None:
    assert told_by_engine(b"[" * 4096) is None
