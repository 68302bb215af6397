"""Resources, benchmarks, progress, outputs and attachments."""

import json
from pathlib import Path

import pytest

from engines.snakemake.executor.attachments import attached_files, is_attached, mirror, with_paths
from engines.snakemake.executor.benchmark import seconds, write_benchmark
from engines.snakemake.executor.outputs import output_object
from engines.snakemake.executor.progress import Progress
from engines.snakemake.executor.resources import tes_resources, time_limit


def test_only_what_a_rule_says_is_asked_for() -> None:
    assert tes_resources(1, {"_cores": 1, "tmpdir": "/tmp"}) == {}
    wanted = {"mem_mb": 1500, "disk_mb": 2000, "gpu": 2}
    assert tes_resources(4, wanted) == {
        "cpu_cores": 4,
        "ram_gb": 1.5,
        "disk_gb": 2.0,
        "backend_parameters": {"gpu": "2"},
    }


@pytest.mark.parametrize("value", ["<TBD>", None, 0, True])
def test_what_is_no_amount_is_left_out(value: object) -> None:
    assert tes_resources(1, {"mem_mb": value, "gpu": value}) == {}
    assert time_limit({"runtime": value}) is None


def test_runtime_is_in_minutes() -> None:
    assert time_limit({"runtime": 2}) == 120


def test_a_benchmark_has_a_row_for_each_time(tmp_path: Path) -> None:
    log = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:01:01.5Z"}
    times = list(seconds({"logs": [{"logs": [log, {}]}]}))
    assert times == [61.5, None]
    write_benchmark(tmp_path / "deep" / "b.tsv", times)
    header, first, second = (tmp_path / "deep" / "b.tsv").read_text().splitlines()
    assert header.split("\t")[:3] == ["s", "h:m:s", "max_rss"]
    assert first.split("\t")[:3] == ["61.5000", "0:01:01", "NA"]
    assert second.split("\t") == ["NA"] * len(header.split("\t"))


def test_progress_counts_and_is_always_whole_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    progress = Progress(path)
    progress.remaining(3, cached=1)
    progress.started(1)
    progress.started(1)
    progress.ended(1, good=True, again=False)
    assert json.loads(path.read_text()) == {"known": 3, "running": 1, "done": 1, "failed": 0, "cached": 1}
    progress.ended(1, good=False, again=True)
    assert json.loads(path.read_text())["failed"] == 0
    progress.started(1)
    progress.ended(1, good=False, again=False)
    progress.remaining(4, cached=1)
    assert json.loads(path.read_text()) == {"known": 6, "running": 0, "done": 1, "failed": 1, "cached": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["progress.json"]


def test_outputs_are_named_by_their_path_and_attachments_are_none(tmp_path: Path) -> None:
    attachments, work = tmp_path / "attachments", tmp_path / "work"
    (attachments / "reads").mkdir(parents=True)
    (attachments / "reads" / "a b.txt").write_text("x")
    mirror(attachments, work, attached_files(attachments))
    (work / "out" / "parts").mkdir(parents=True)
    (work / "out" / "x y.txt").write_text("x")
    names = ["out/x y.txt", "./out/x y.txt", "out/parts", "reads/a b.txt", "gone.txt", str(work / "out/x y.txt")]
    assert output_object(names, work) == {
        "out/x y.txt": {"class": "File", "location": f"file://{work}/out/x%20y.txt", "basename": "x y.txt"},
        "out/parts": {"class": "Directory", "location": f"file://{work}/out/parts", "basename": "parts"},
    }


def test_attachments_are_links_and_what_is_there_stays(tmp_path: Path) -> None:
    attachments, work = tmp_path / "attachments", tmp_path / "work"
    attachments.mkdir()
    (attachments / "a.txt").write_text("attached")
    (attachments / "b.txt").write_text("attached")
    work.mkdir()
    (work / "b.txt").write_text("made")
    for _ in range(2):
        mirror(attachments, work, attached_files(attachments))
    assert (work / "a.txt").read_text() == "attached"
    assert (work / "b.txt").read_text() == "made"
    assert is_attached(str(work / "a.txt"), attachments)
    assert not is_attached(str(work / "b.txt"), attachments)


def test_file_objects_of_params_become_paths() -> None:
    file = {"class": "File", "location": "file:///r/a%20b.txt"}
    remote = {"class": "File", "location": "https://example.org/x"}
    assert with_paths({"x": [file, remote, 1], "y": {"z": file}}) == {
        "x": ["/r/a b.txt", remote, 1],
        "y": {"z": "/r/a b.txt"},
    }
