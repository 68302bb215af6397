"""`wes-cwl-runner` and `make conformance`, with a small suite of our own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.conformance.__main__ import RUNNER
from tests.acceptance.stack import Wes
from tests.engine_fixtures import REPOSITORY, engines_folder

SUITE = Path(__file__).with_name("suite")
UNSUPPORTED = 33


def run(argv: Sequence[str | Path], **more: str) -> "subprocess.CompletedProcess[str]":
    own = {name: value for name, value in os.environ.items() if not name.startswith(("WES_", "TES_"))}
    # No image can be pulled here, whatever container engine answers.
    environment = {**own, "TES_RUNNER": "bubblewrap", **more}
    return subprocess.run(
        argv, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=170, check=False
    )


def runner(wes: Wes, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return run([RUNNER, "--server", wes.url, *arguments])


def test_a_suite_is_run_and_told_with_the_names_of_what_did_not_pass(wes: Wes) -> None:
    module = [sys.executable, "-m", "tests.acceptance.conformance"]
    ended = run([*module, str(SUITE / "tests.yaml"), "-j", "2", "--server", wes.url])
    assert ended.stdout.splitlines()[-4:] == [
        "passed 4 of 6 tests, failed 1",
        "passed 3 of 4 required tests",
        "NOT SUPPORTED not_supported",
        "FAILED wrong_on_purpose",
    ], ended.stdout + ended.stderr
    assert ended.returncode == 1


def test_the_runner_prints_the_output_object_and_nothing_else(wes: Wes, tmp_path: Path) -> None:
    ended = runner(wes, "--quiet", "--outdir", tmp_path / "out", SUITE / "upper.cwl", SUITE / "job.yml")
    assert (ended.returncode, ended.stderr) == (0, "")
    path = tmp_path / "out" / "upper.txt"
    assert json.loads(ended.stdout) == {
        "upper": {
            "class": "File",
            "location": path.as_uri(),
            "path": str(path),
            "basename": "upper.txt",
            "size": 6,
            "checksum": "sha1$a8eec30a5b2d71bc890175f5b361ebb28d7c54a8",
        }
    }
    assert path.read_text() == "HELLO\n"


def test_inputs_may_be_options_after_the_workflow(wes: Wes, tmp_path: Path) -> None:
    ended = runner(wes, "--outdir", tmp_path, SUITE / "upper.cwl", "--word", SUITE / "word.txt")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["upper"]["size"] == 6
    assert "COMPLETE" in ended.stderr


def test_relative_paths_of_a_job_may_be_meant_from_another_folder(wes: Wes, tmp_path: Path) -> None:
    job = tmp_path / "job.yml"
    job.write_text((SUITE / "job.yml").read_text())
    ended = runner(wes, "--outdir", tmp_path, "--basedir", SUITE, SUITE / "upper.cwl", job)
    assert ended.returncode == 0, ended.stderr


def test_a_failed_step_is_told_with_its_cause_and_exits_with_1(wes: Wes) -> None:
    ended = runner(wes, "--quiet", SUITE / "fails.cwl")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "exit code 3" in ended.stderr
    assert "the sample is broken" in ended.stderr


def test_the_engine_s_log_is_shown_where_it_is_asked_for(wes: Wes) -> None:
    ended = runner(wes, "--debug", SUITE / "fails.cwl")
    assert "[job fails] is task" in ended.stderr


def test_what_is_not_supported_exits_with_33(wes: Wes) -> None:
    ended = runner(wes, SUITE / "unsupported.cwl")
    assert ended.returncode == UNSUPPORTED
    assert "images are not built" in ended.stderr


def test_a_file_that_is_not_there_is_told_before_anything_is_sent(wes: Wes) -> None:
    ended = runner(wes, SUITE / "nothing.cwl")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "nothing.cwl does not exist" in ended.stderr


def test_the_runner_starts_a_server_where_none_is_named_and_ends_it(cwl_installation: object, tmp_path: Path) -> None:
    argv: list[str | Path] = [RUNNER, "--outdir", tmp_path, SUITE / "upper.cwl", SUITE / "job.yml"]
    ended = run(argv, WES_ENGINES=str(engines_folder()))
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "upper.txt").read_text() == "HELLO\n"
    folder = next(word for word in ended.stderr.split() if "wes-up-" in word)
    assert not Path(folder).exists()


def test_inputs_and_version_are_shown_without_a_server() -> None:
    shown = run([RUNNER, "--tool-help", SUITE / "upper.cwl"]).stdout
    assert "--word" in shown
    assert "all of it (100 %)" in shown
    assert run([RUNNER, "--version"]).stdout.startswith("wes-cwl-runner ")
