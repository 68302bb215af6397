"""The adapter: a command as data, and the reading of what the engine left."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from common.engine import EngineEnd, EngineJob, Installation, RunFolder
from common.errors import EngineError, WesError
from engines.registry import engine_named, engines_for_type, recipe_named
from engines.snakemake.adapter import SnakemakeEngine
from engines.snakemake.executor.settings import SnakemakeSettings
from engines.snakemake.recipe import VERSIONS

OPTIONS = ("set_resources", "set_threads", "default_resources")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = RunFolder(root=tmp_path)
    for path in (found.attachments, found.work / ".wes", found.control):
        path.mkdir(parents=True)
    return found


def job(folder: RunFolder, **more: Any) -> EngineJob:
    given: dict[str, Any] = {
        "run_id": "1",
        "folder": folder,
        "installation": Installation(engine="snakemake", version="9.27.1", environment=Path("/engines/s/9")),
        "workflow": folder.attachments / "Snakefile",
        "tes_url": "http://tes",
        "token_file": folder.control / "tes-token",
        "default_image": "debian:12",
        **more,
    }
    return EngineJob(**given)


def settings(folder: RunFolder, **more: Any) -> Any:
    command = SnakemakeEngine().command(job(folder, **more))
    ((name, text),) = command.files.items()
    (folder.control / name).write_text(text)
    assert command.argv[-1] == str(folder.control / name)
    return SnakemakeSettings.read(folder.control / name)


def test_it_is_found_by_its_names() -> None:
    engine = engine_named("Snakemake")
    assert engine is not None
    assert engine.name == "snakemake"
    assert engines_for_type("smk") == engines_for_type("Snakemake") == (engine,)
    assert {"9", "8", "1.0"} == set(engine.type_versions)
    recipe = recipe_named("snakemake")
    assert recipe is not None
    assert recipe.versions == VERSIONS


def test_the_command_is_isolated_and_stopped_like_by_a_person(folder: RunFolder) -> None:
    command = SnakemakeEngine().command(job(folder))
    assert command.argv[:4] == ("/engines/s/9/bin/python", "-I", "-m", "engines.snakemake.executor")
    assert command.stop_signal == "SIGINT"
    assert command.environment["HOME"].startswith(str(folder.work))


def test_defaults_are_those_that_are_told(folder: RunFolder) -> None:
    found = settings(folder)
    for parameter in SnakemakeEngine.parameters:
        if parameter.name not in {"nested_image", "conda", *OPTIONS, "configfiles"}:
            assert str(getattr(found, parameter.name)) == parameter.default
    assert found.nested_image == "docker.io/snakemake/snakemake:v9.27.1"
    assert found.conda is True
    assert found.target_names == ()
    assert found.snakemake_options == {}


def test_parameters_and_fragment_arrive(folder: RunFolder) -> None:
    given = {"parallel": "3", "conda": "false", "targets": "a b.txt", "nested_image": "mine:1", "on_error": "continue"}
    found = settings(folder, parameters=given, fragment="c", params={"x": [1]})
    assert (found.parallel, found.conda, found.nested_image, found.on_error) == (3, False, "mine:1", "continue")
    assert found.target_names == ("a", "b.txt", "c")
    assert found.params == {"x": [1]}


def test_options_of_snakemakes_own_arrive_as_words_and_config_files_by_their_path(folder: RunFolder) -> None:
    (folder.attachments / "more.yaml").write_text("a: 1\n")
    given = {"set_resources": "align:mem_mb=4000 'sort:tag=a b'", "configfiles": "more.yaml", "profile": "fast"}
    found = settings(folder, parameters=given)
    assert found.profile == "fast"
    assert found.snakemake_options == {"set-resources": ["align:mem_mb=4000", "sort:tag=a b"]}
    assert found.configfiles == (folder.attachments / "more.yaml",)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"configfiles": "gone.yaml"}, "names 'gone.yaml', which is not among the attachments"),
        ({"configfiles": "/etc/passwd"}, "/etc/passwd"),
        ({"set_threads": "a=1 --executor=local"}, "a word begins with '-'"),
        ({"default_resources": "a='"}, "No closing quotation"),
    ],
)
def test_options_that_are_none_are_refused(folder: RunFolder, given: dict[str, str], told: str) -> None:
    with pytest.raises(WesError, match=re.escape(told)):
        settings(folder, parameters=given)


def test_why_it_failed_is_its_own_sentence_without_the_runs_folders(folder: RunFolder) -> None:
    failure = {"sentence": f"the workflow failed: {folder.attachments}/rules/a.smk:3: no"}
    (folder.work / ".wes/failure.json").write_text(json.dumps(failure))
    end = EngineEnd(exit_code=1, stderr="much\nmore\n")
    assert SnakemakeEngine().diagnose(folder, end) == "the workflow failed: rules/a.smk:3: no"


@pytest.mark.parametrize(
    ("code", "stderr", "told"),
    [
        (-9, "", "the Snakemake engine was killed; it may have used more memory than it was given"),
        (1, "a\nlast words\n\n", "the Snakemake engine ended with exit code 1: last words"),
        (1, "", "the Snakemake engine ended with exit code 1"),
    ],
)
def test_without_a_sentence_the_end_itself_is_told(folder: RunFolder, code: int, stderr: str, told: str) -> None:
    assert SnakemakeEngine().diagnose(folder, EngineEnd(exit_code=code, stderr=stderr)) == told


def test_outputs_are_read_from_a_plain_file_of_the_run_only(folder: RunFolder) -> None:
    with pytest.raises(EngineError):
        SnakemakeEngine().outputs(folder)
    (folder.root / "elsewhere.json").write_text("{}")
    (folder.work / ".wes/outputs.json").symlink_to(folder.root / "elsewhere.json")
    with pytest.raises(EngineError):
        SnakemakeEngine().outputs(folder)
    (folder.work / ".wes/outputs.json").unlink()
    (folder.work / ".wes/outputs.json").write_text('{"x": 1}')
    assert SnakemakeEngine().outputs(folder) == {"x": 1}


@pytest.mark.parametrize(
    ("limits", "parameters", "threads"),
    [({}, {}, 0), ({"cpu": 4.0}, {}, 4), ({"cpu": 4.0}, {"max_threads": "2"}, 2), ({}, {"max_threads": "8"}, 8)],
)
def test_threads_are_what_a_step_gets(
    folder: RunFolder, limits: dict[str, float], parameters: dict[str, str], threads: int
) -> None:
    assert settings(folder, step_limits=limits, parameters=parameters).max_threads == threads
