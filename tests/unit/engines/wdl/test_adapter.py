"""The WDL adapter: data in, data out."""

import json
from pathlib import Path

import pytest

from common.engine import EngineEnd, EngineJob, Installation, RunFolder
from common.errors import EngineError
from engines.registry import engine_named, engines_for_type
from engines.wdl.adapter import WdlEngine


def job(root: Path, **more: object) -> EngineJob:
    folder = RunFolder(root=root)
    given = {
        "run_id": "r1",
        "folder": folder,
        "installation": Installation(engine="miniwdl", version="1.16.0", environment=Path("/engines/wdl")),
        "workflow": folder.attachments / "main.wdl",
        "params": {"w.f": "a.txt"},
        "tes_url": "http://127.0.0.1:8765/ga4gh/tes/v1",
        "token_file": folder.control / "tes-token",
        "default_image": "image",
        "allowed_data": (Path("/data"),),
    }
    return EngineJob(**{**given, **more})  # type: ignore[arg-type]


def test_it_is_known_by_its_names_and_type() -> None:
    for name in ("miniwdl", "WDL", "wdl"):
        assert isinstance(engine_named(name), WdlEngine)
    assert [engine.name for engine in engines_for_type("wdl")] == ["miniwdl"]


def test_the_command_is_isolated_and_names_the_settings_file(tmp_path: Path) -> None:
    command = WdlEngine().command(job(tmp_path))
    assert command.argv == (
        "/engines/wdl/bin/python",
        "-I",
        "-m",
        "engines.wdl.executor",
        str(tmp_path / "control" / "wdl.json"),
    )
    assert command.stop_signal == "SIGTERM"
    assert set(command.environment) == {"PATH", "HOME", "TMPDIR", "LANG"}


def test_the_settings_have_the_defaults_and_what_was_asked_for(tmp_path: Path) -> None:
    plain = json.loads(WdlEngine().command(job(tmp_path)).files["wdl.json"])
    assert (plain["parallel"], plain["max_retries"], plain["on_error"], plain["check_quant"]) == (64, 0, "stop", True)
    assert (plain["params"], plain["fragment"], plain["readable"]) == ({"w.f": "a.txt"}, None, ["/data"])
    asked = {"parallel": "3", "max_retries": "2", "on_error": "finish", "check_quant": "false"}
    given = json.loads(WdlEngine().command(job(tmp_path, parameters=asked, fragment="t")).files["wdl.json"])
    assert (given["parallel"], given["max_retries"], given["on_error"], given["check_quant"]) == (3, 2, "finish", False)
    assert given["fragment"] == "t"


def test_the_reason_is_the_executors_own_without_paths_of_the_server(tmp_path: Path) -> None:
    folder = RunFolder(root=tmp_path)
    (folder.work / ".wes").mkdir(parents=True)
    failure = folder.work / ".wes" / "failure.json"
    failure.write_text(json.dumps({"kind": "inputs", "sentence": f"no {folder.attachments}/a.txt"}))
    engine = WdlEngine()
    assert engine.diagnose(folder, EngineEnd(exit_code=1, stderr="x")) == "no a.txt"
    failure.write_text("[1]")
    said = engine.diagnose(folder, EngineEnd(exit_code=1, stderr="one\nlast line\n\n"))
    assert said == "the WDL engine ended with exit code 1: last line"
    assert "killed" in engine.diagnose(folder, EngineEnd(exit_code=-9, stderr=""))


def test_outputs_are_read_and_must_be_there(tmp_path: Path) -> None:
    folder = RunFolder(root=tmp_path)
    (folder.work / ".wes").mkdir(parents=True)
    with pytest.raises(EngineError):
        WdlEngine().outputs(folder)
    (folder.work / ".wes" / "outputs.json").write_text('{"w.n": 1}')
    assert WdlEngine().outputs(folder) == {"w.n": 1}
