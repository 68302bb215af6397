import json
from pathlib import Path

import pytest

from common.engine import RunFolder
from common.errors import EngineError
from engines.nextflow.outputs import read_outputs


def a_folder(root: Path, document: object) -> RunFolder:
    folder = RunFolder(root=root)
    (folder.work / ".wes").mkdir(parents=True)
    (folder.work / ".wes" / "outputs.json").write_text(json.dumps(document))
    return folder


def test_keys_are_relative_to_the_results_folder_or_to_the_launch_folder(tmp_path: Path) -> None:
    work = tmp_path / "work"
    published = [f"{work}/results/a/x.txt", f"{work}/other/y z.txt"]
    outputs = read_outputs(a_folder(tmp_path, {"published": published, "named": {}}))
    assert list(outputs) == ["other/y z.txt", "a/x.txt"]
    assert outputs["other/y z.txt"] == {
        "class": "File",
        "location": f"file://{work}/other/y%20z.txt",
        "basename": "y z.txt",
    }


def test_what_has_a_name_is_not_listed_by_its_path_too(tmp_path: Path) -> None:
    work = tmp_path / "work"
    named = {
        "reads": [["a", {"class": "File", "location": f"file://{work}/results/a.txt"}]],
        "all": {"class": "Directory", "location": f"file://{work}/results/all"},
    }
    published = [f"{work}/results/{name}" for name in ("a.txt", "all", "all/inner.txt", "more.txt")]
    outputs = read_outputs(a_folder(tmp_path, {"published": published, "named": named}))
    assert list(outputs) == ["reads", "all", "more.txt"]


def put(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return str(path)


def test_files_beside_published_ones_are_outputs_too(tmp_path: Path) -> None:
    work = tmp_path / "work"
    published = [put(work / "out/fastqc/a.html"), put(work / "results/b.txt")]
    for name in ("out/pipeline_info/trace.txt", "results/report.html", "nxf/ab/c.txt", ".nextflow/history", "other/d"):
        put(work / name)
    outputs = read_outputs(a_folder(tmp_path, {"published": published, "named": {}}))
    assert set(outputs) == {"out/fastqc/a.html", "out/pipeline_info/trace.txt", "b.txt", "report.html"}


def test_the_folder_that_the_params_name_holds_outputs(tmp_path: Path) -> None:
    work = tmp_path / "work"
    put(work / "deep/er/trace.txt")
    put(work / "deep/not.txt")
    folder = a_folder(tmp_path, {"published": [], "named": {}})
    folder.control.mkdir()
    for outdir, found in (("deep/er", ["deep/er/trace.txt"]), (str(work / "deep/er"), ["deep/er/trace.txt"])):
        (folder.control / "params.json").write_text(json.dumps({"outdir": outdir}))
        assert list(read_outputs(folder)) == found
    for other in ("..", ".", "/etc", 3):
        (folder.control / "params.json").write_text(json.dumps({"outdir": other}))
        assert read_outputs(folder) == {}


def test_what_is_in_a_published_folder_or_behind_a_link_is_not_listed_by_itself(tmp_path: Path) -> None:
    work = tmp_path / "work"
    put(work / "results/index/part")
    (work / "results/link.txt").symlink_to(put(work / "nxf/ab/x.txt"))
    (work / "results/away").symlink_to("/etc")
    document = {"published": [f"{work}/results/index"], "named": {}}
    assert list(read_outputs(a_folder(tmp_path, document))) == ["index"]


def test_a_run_without_outputs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"outputs\.json"):
        read_outputs(RunFolder(root=tmp_path))
    with pytest.raises(EngineError, match="not a JSON object"):
        read_outputs(a_folder(tmp_path, []))
