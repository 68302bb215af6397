import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from common.engine import EngineEnd, EngineJob, Installation, RunFolder
from common.errors import EngineError, SystemFailure
from engines.nextflow.adapter import NextflowEngine
from engines.nextflow.own_installation import OwnNextflow, write_record
from engines.registry import engine_named, engines_for_type

ENGINE = NextflowEngine()


def a_job(root: Path, **fields: Any) -> EngineJob:
    folder = RunFolder(root=root / "run")
    environment = root / "environment"
    environment.mkdir(parents=True, exist_ok=True)
    folder.attachments.mkdir(parents=True, exist_ok=True)
    return EngineJob(
        **{
            "run_id": "r1",
            "folder": folder,
            "installation": Installation(engine="nextflow", version="25.04.4", environment=environment),
            "workflow": folder.attachments / "flow" / "main.nf",
            "tes_url": "http://127.0.0.1:8765/ga4gh/tes/v1",
            "token_file": folder.control / "tes-token",
            "default_image": "debian:12",
            **fields,
        }
    )


def options(argv: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in pairwise(argv) if name.startswith("-")}


def test_it_is_found_by_its_names_and_its_types() -> None:
    for name in ("nextflow", "Nextflow", "nfl"):
        assert isinstance(engine_named(name), NextflowEngine)
    for kind in ("NFL", "nfl", "Nextflow", "NEXTFLOW"):
        assert isinstance(engines_for_type(kind)[0], NextflowEngine)


def test_the_command_names_java_the_settings_and_the_script(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    command = ENGINE.command(job)
    environment = job.installation.environment
    assert command.argv[:3] == (
        str(environment / "java/bin/java"),
        f"@{environment / 'java.args'}",
        "wes.nextflow.Main",
    )
    assert command.argv[command.argv.index("run") + 1] == str(job.workflow)
    settings = json.loads(command.files["nextflow.json"])
    assert settings["project"] == str(job.workflow.parent)
    assert settings["parallel"] == 100
    assert settings["default_image"] == "debian:12"
    assert command.stop_signal == "SIGTERM"


def test_no_secret_and_nothing_of_the_servers_environment_is_in_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    command = ENGINE.command(a_job(tmp_path))
    assert "AWS" not in str(command)
    assert "hunter2" not in str(command)
    assert command.environment["NXF_OFFLINE"] == "true"


def test_our_config_comes_from_control_and_turns_all_others_off(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    command = ENGINE.command(job)
    assert options(command.argv)["-c"] == str(job.folder.control / "nextflow.config")
    lines = command.files["nextflow.config"].splitlines()
    assert "singularity.enabled = false" in lines
    assert "wave.enabled = false" in lines


def test_parameters_become_arguments(tmp_path: Path) -> None:
    parameters = {"profile": "test,own_2", "stub": "true", "entry": "other", "parallel": "7"}
    command = ENGINE.command(a_job(tmp_path, parameters=parameters))
    assert options(command.argv)["-profile"] == "test,own_2"
    assert options(command.argv)["-entry"] == "other"
    assert "-stub" in command.argv
    assert json.loads(command.files["nextflow.json"])["parallel"] == 7
    plain = ENGINE.command(a_job(tmp_path)).argv
    assert not {"-profile", "-entry", "-stub", "-resume"} & set(plain)


def test_an_added_config_comes_after_the_workflows_own_and_before_ours(tmp_path: Path) -> None:
    job = a_job(tmp_path, parameters={"config": "added/site.config"})
    (job.folder.attachments / "added").mkdir(parents=True)
    (job.folder.attachments / "added/site.config").touch()
    argv = ENGINE.command(job).argv
    configs = [argv[index + 1] for index, word in enumerate(argv) if word == "-c"]
    assert configs == [
        str(job.folder.attachments / "added/site.config"),
        str(job.folder.control / "nextflow.config"),
    ]
    with pytest.raises(EngineError, match=r"'gone\.config', which is not among the attachments"):
        ENGINE.command(a_job(tmp_path, parameters={"config": "gone.config"}))


def test_more_params_and_reports_are_put_together_inside_the_sandbox(tmp_path: Path) -> None:
    plain = json.loads(ENGINE.command(a_job(tmp_path)).files["nextflow.json"])
    assert (plain["params_file"], plain["user_config"]) == (None, None)
    job = a_job(tmp_path, parameters={"params_file": "more.yml", "reports": "true"})
    (job.folder.attachments / "more.yml").touch()
    command = ENGINE.command(job)
    settings = json.loads(command.files["nextflow.json"])
    assert settings["params_file"] == str(job.folder.attachments / "more.yml")
    assert settings["user_config"] == str(job.folder.control / "user.config")
    assert "trace.file = 'results/pipeline_info/execution_trace.txt'" in command.files["user.config"].splitlines()
    with pytest.raises(EngineError, match=r"the engine parameter 'params_file' is 'gone\.yml', which is not among"):
        ENGINE.command(a_job(tmp_path, parameters={"params_file": "gone.yml"}))


def test_a_fragment_is_the_entry(tmp_path: Path) -> None:
    job = a_job(tmp_path, fragment="first", parameters={"entry": "second"})
    assert options(ENGINE.command(job).argv)["-entry"] == "first"


@pytest.mark.parametrize(("name", "value"), [("profile", "-with-tower"), ("profile", "a b"), ("entry", "x;y")])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(EngineError, match=f"the engine parameter '{name}' is"):
        ENGINE.command(a_job(tmp_path, parameters={name: value}))


def test_a_run_that_was_begun_is_resumed(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    history = job.folder.work / ".nextflow" / "history"
    history.parent.mkdir(parents=True)
    history.touch()
    assert "-resume" in ENGINE.command(job).argv


def test_of_the_plugins_that_are_there_the_newest_is_the_one_that_is_meant_without_a_version(tmp_path: Path) -> None:
    job = a_job(tmp_path / "nextflow" / "25.04.4")
    command = ENGINE.command(job)
    assert json.loads(command.files["nextflow.json"])["plugins"] == {}
    for name in ("nf-schema-2.10.0", "nf-schema-2.3.0", "nf-prov-1.0-beta"):
        (tmp_path / "nextflow" / "plugins" / name).mkdir(parents=True)
    command = ENGINE.command(job)
    assert command.environment["NXF_PLUGINS_DIR"] == str(tmp_path / "nextflow" / "plugins")
    assert json.loads(command.files["nextflow.json"])["plugins"] == {"nf-schema": "2.10.0", "nf-prov": "1.0-beta"}


def test_a_users_own_nextflow_has_its_own_plugins_and_nf_ga4gh_where_it_worked(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    plugins = tmp_path / "home" / "plugins"
    (plugins / "nf-ga4gh-1.4.2").mkdir(parents=True)
    write_record(
        job.installation.environment, OwnNextflow(version="25.10.0", classpath=(), plugins=plugins, ga4gh="1.4.2")
    )
    command = ENGINE.command(job)
    assert command.environment["NXF_PLUGINS_DIR"] == str(plugins)
    assert command.environment["NXF_PLUGINS_DEFAULT"] == "nf-ga4gh@1.4.2"
    assert json.loads(command.files["nextflow.json"])["ga4gh"] is True
    (plugins / "nf-ga4gh-1.4.2").rmdir()
    command = ENGINE.command(job)
    assert command.environment["NXF_PLUGINS_DEFAULT"] == "true"
    assert json.loads(command.files["nextflow.json"])["ga4gh"] is False


def test_a_users_own_nextflow_that_is_gone_is_no_fault_of_the_workflow(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    write_record(job.installation.environment, OwnNextflow(version="25.10.0", classpath=(tmp_path / "no.jar",)))
    with pytest.raises(SystemFailure, match=r"no\.jar is gone"):
        ENGINE.command(job)


def test_files_become_paths_and_all_else_stays(tmp_path: Path) -> None:
    attachments = tmp_path / "run" / "attachments"
    attachments.mkdir(parents=True)
    (attachments / "a b.fq").touch()
    given = {"class": "File", "location": f"file://{attachments}/a%20b.fq"}
    params = {
        "reads": [given],
        "deep": {"ref": {"class": "Directory", "location": "file:///data/ref"}},
        "text": "a b.fq",
        "n": 1,
    }
    written = json.loads(ENGINE.command(a_job(tmp_path, params=params)).files["params.json"])
    assert written == {"reads": [f"{attachments}/a b.fq"], "deep": {"ref": "/data/ref"}, "text": "a b.fq", "n": 1}


def test_a_file_that_is_not_attached_is_named_with_its_parameter(tmp_path: Path) -> None:
    params = {"deep": {"reads": {"class": "File", "location": "x.fq"}}}
    with pytest.raises(EngineError, match=r"'deep\.reads' names 'x\.fq', which is not among the attachments"):
        ENGINE.command(a_job(tmp_path, params=params))
    with pytest.raises(EngineError, match="'reads' is a File without a location"):
        ENGINE.command(a_job(tmp_path, params={"reads": {"class": "File"}}))


def test_a_killed_engine_and_one_without_memory_say_so(tmp_path: Path) -> None:
    folder = RunFolder(root=tmp_path)
    folder.logs.mkdir()
    assert "was killed" in ENGINE.diagnose(folder, EngineEnd(exit_code=-9, stderr=""))
    assert "exit code 1" in ENGINE.diagnose(folder, EngineEnd(exit_code=1, stderr=""))
    (folder.logs / "stdout").write_text("Terminating due to java.lang.OutOfMemoryError: Java heap space\n")
    assert ENGINE.diagnose(folder, EngineEnd(exit_code=3, stderr="")) == "Nextflow ran out of memory"


def test_a_process_knows_what_it_gets_at_most(tmp_path: Path) -> None:
    job = a_job(tmp_path, step_limits={"cpu": 4.0, "memory": 7.5, "disk": 0.5, "time": 7200.0})
    config = ENGINE.command(job).files["nextflow.config"]
    limits = "process.resourceLimits = [cpus: 4, memory: '7500000000 B', disk: '500000000 B', time: '7200 s']"
    assert limits in config.splitlines()
    assert "resourceLimits" not in ENGINE.command(a_job(tmp_path)).files["nextflow.config"]
