"""Benchmarks, outputs and attachments."""

from pathlib import Path

from engines.snakemake.executor.files import (
    attached_files,
    executor_seconds,
    is_attached,
    mirror,
    output_object,
    with_paths,
    write_benchmark,
)


def test_a_benchmark_has_a_row_for_each_time(tmp_path: Path) -> None:
    log = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:01:01.5Z"}
    times = list(executor_seconds({"logs": [{"logs": [log, {}]}]}))
    assert times == [61.5, None]
    write_benchmark(tmp_path / "deep" / "b.tsv", times)
    header, first, second = (tmp_path / "deep" / "b.tsv").read_text().splitlines()
    assert header.split("\t")[:3] == ["s", "h:m:s", "max_rss"]
    assert first.split("\t")[:3] == ["61.5000", "0:01:01", "NA"]
    assert second.split("\t") == ["NA"] * len(header.split("\t"))


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
