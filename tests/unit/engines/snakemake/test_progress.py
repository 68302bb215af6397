import json
from pathlib import Path

from engines.snakemake.executor.progress import JobProgress


def test_progress_counts_and_is_always_whole_in_its_file(tmp_path: Path) -> None:
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
