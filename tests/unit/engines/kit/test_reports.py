import json
from pathlib import Path

from engines.kit.reports import Failure, FailureReport, StepProgress, StepState


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
