import json
from pathlib import Path

from engines.kit.reports import Failure, FailureReport, JobProgress, StepProgress, StepState


def test_the_first_failure_counts(tmp_path: Path) -> None:
    failures = FailureReport(tmp_path / "failure.json")
    failures.add(Failure(kind="step", sentence="first", step="a", task_id="t", exit_code=1))
    failures.add(Failure(kind="step", sentence="second"))
    assert json.loads((tmp_path / "failure.json").read_text()) == {
        "kind": "step",
        "sentence": "first",
        "step": "a",
        "task_id": "t",
        "exit_code": 1,
    }


def test_progress_counts_steps_by_their_last_state(tmp_path: Path) -> None:
    progress = StepProgress(tmp_path / "progress.json")
    progress.expect("w", 3)
    for state in (StepState.RUNNING, StepState.FAILED, StepState.RUNNING, StepState.DONE):
        progress.step("a", state)
    progress.step("b", StepState.CACHED)
    found = json.loads((tmp_path / "progress.json").read_text())
    assert found == {"known": 3, "running": 0, "done": 2, "failed": 0, "cached": 1}
    progress.expect("sub", 2)
    assert json.loads((tmp_path / "progress.json").read_text())["known"] == 5


def test_progress_counts_jobs_and_is_always_whole_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    progress = JobProgress(path)
    progress.set_remaining(3, cached=1)
    progress.started(1)
    progress.started(1)
    progress.ended(1, good=True, again=False)
    assert json.loads(path.read_text()) == {"known": 3, "running": 1, "done": 1, "failed": 0, "cached": 1}
    progress.ended(1, good=False, again=True)
    assert json.loads(path.read_text())["failed"] == 0
    progress.started(1)
    progress.ended(1, good=False, again=False)
    progress.set_remaining(4, cached=1)
    assert json.loads(path.read_text()) == {"known": 6, "running": 0, "done": 1, "failed": 1, "cached": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["progress.json"]
