"""The script around a command, run by real shells."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from engines.snakemake.executor.script import NestedSnakemake, ScriptContext, script

BASH = ("bash", "-euo", "pipefail", "-c")
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "attachments" / "tools").mkdir(parents=True)
    (tmp_path / "attachments" / "tools" / "it's.txt").write_text("attached")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def run(work: Path, command: tuple[str, ...], path: str | None = None, shell: str = "sh", **more: Any) -> Any:
    around = ScriptContext(rule="a", attachments=work.parent / "attachments", **more)
    argv = [shell, *(["sh"] if shell == "busybox" else []), "-c", script(around), "sh", *command]
    environment = {"PATH": path or "/usr/bin:/bin", "HOME": str(work)}
    program = shutil.which(argv[0])
    assert program is not None
    return subprocess.run([program, *argv[1:]], cwd=work, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_folders_and_logs_are_there_and_attachments_are_seen(work: Path, shell: str) -> None:
    command = (*BASH, "cat \"tools/it's.txt\" > 'out/deep/x y.txt'")
    done = run(work, command, shell=shell, links=["tools/it's.txt"], outputs=["out/deep/x y.txt"], logs=["logs/a.log"])
    assert done.returncode == 0, done.stderr
    assert (work / "out/deep/x y.txt").read_text() == "attached"
    assert (work / "logs/a.log").read_text() == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_a_thousand_attachments_are_linked_by_a_few_processes_and_what_is_there_stays(work: Path, shell: str) -> None:
    names = [f"-data/d {number % 3}/f{number}.txt" for number in range(1000)]
    for name in names:
        (work.parent / "attachments" / name).parent.mkdir(parents=True, exist_ok=True)
        (work.parent / "attachments" / name).write_text(name)
    (work / "-data/d 0").mkdir(parents=True)
    (work / names[0]).write_text("my own")
    began = time.monotonic()
    done = run(work, (*BASH, "true"), shell=shell, links=names)
    assert (done.returncode, done.stderr) == (0, "")
    assert [(work / name).read_text() for name in names] == ["my own", *names[1:]]
    assert time.monotonic() - began < 5
    assert script(ScriptContext(rule="a", attachments=work, links=names)).count("\nattached ") == 6


@pytest.mark.parametrize("shell", SHELLS)
def test_the_exit_code_is_the_commands(work: Path, shell: str) -> None:
    assert run(work, (*BASH, "false | true"), shell=shell).returncode == 1
    assert run(work, (*BASH, "exit 7"), shell=shell).returncode == 7
    assert run(work, (*BASH, "echo $UNKNOWN"), shell=shell).returncode != 0


def test_a_log_is_shown_after_a_failure_only(work: Path) -> None:
    bad = run(work, (*BASH, "echo reason > a.log; exit 2"), logs=["a.log"])
    assert (bad.returncode, bad.stderr) == (2, "the end of a.log:\nreason\n")
    assert run(work, (*BASH, "echo fine > a.log"), logs=["a.log"]).stderr == ""


def test_a_missing_output_is_an_error_and_touched_ones_are_made(work: Path) -> None:
    done = run(work, (*BASH, "true"), outputs=["x.txt"])
    assert (done.returncode, done.stderr) == (1, "the rule a ended well but did not make its output x.txt\n")
    done = run(work, (*BASH, "true"), outputs=["y.txt"], touched=["y.txt"])
    assert done.returncode == 0
    assert (work / "y.txt").exists()


def test_a_folder_that_was_made_beforehand_is_the_rules_to_make(work: Path) -> None:
    (work / "parts").mkdir()
    done = run(work, (*BASH, "mkdir parts; touch parts/1"), outputs=["parts"], directories=["parts"])
    assert done.returncode == 0, done.stderr


def test_without_bash_it_runs_in_sh(work: Path) -> None:
    programs = work.parent / "bin"
    programs.mkdir()
    for name in ("sh", "mkdir", "ln", "cat", "touch"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(Path(found).resolve())
    assert run(work, (*BASH, "echo good"), path=str(programs)).stdout == "good\n"
    assert run(work, (*BASH, "false; echo bad"), path=str(programs)).returncode == 1
    assert run(work, ("bash", "-c", "false; echo good"), path=str(programs)).stdout == "good\n"


def nested(**more: Any) -> NestedSnakemake:
    return NestedSnakemake(
        **{"rule": "a", "kind": "a script:", "image": "debian:12", "program": Path("/no/such"), **more}
    )


def test_snakemake_is_taken_from_the_machine_or_from_the_image(work: Path) -> None:
    programs = work.parent / "bin"
    programs.mkdir()
    for place in (programs / "snakemake", work.parent / "snakemake"):
        place.write_text(f'#!/bin/sh\necho {place.parent.name} "$@"\n')
        place.chmod(0o755)
    path = f"{programs}:/usr/bin:/bin"
    assert run(work, ("--cores", "1"), path=path, nested=nested()).stdout == "bin --cores 1\n"
    here = nested(program=work.parent / "snakemake")
    assert run(work, ("--cores", "1"), path=path, nested=here).stdout == f"{work.parent.name} --cores 1\n"


def test_an_image_without_snakemake_or_conda_is_told(work: Path) -> None:
    done = run(work, (), nested=nested())
    assert done.returncode == 1
    assert "the rule a has a script:, which needs Snakemake inside its container" in done.stderr
    assert "debian:12" in done.stderr
    program = work.parent / "snakemake"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    done = run(work, (), nested=nested(program=program, conda=True))
    assert done.returncode == 1
    assert "the rule a needs conda" in done.stderr


def test_the_error_itself_comes_last(work: Path) -> None:
    program = work.parent / "snakemake"
    program.write_text(
        "#!/bin/sh\n"
        "echo 'RuleException:\nValueError in file x, line 4:\nbad sample\nWorkflowError:\nAt least' >&2\n"
        "exit 1\n"
    )
    program.chmod(0o755)
    done = run(work, (), nested=nested(program=program))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == ["ValueError in file x, line 4:", "bad sample"]


SAID = """\
Building DAG of jobs...
Execute 1 jobs...

[Sun Nov 29 12:28:13 2026]
localrule do:
    output: o.txt
    resources: tmpdir=/tmp
Shell command: None
reading a.bam
    at block 3: the sample is broken
RuleException:
CalledProcessError in file "/r/Snakefile", line 3:
Command 'set -euo pipefail;  bash /r/do.sh' returned non-zero exit status 3.
[Sun Nov 29 12:28:15 2026]
Error in rule do:
    message: None
    jobid: 0
Shutting down, this might take some time.
Exiting because a job execution failed. Look above for error messages
WorkflowError:
At least one job did not complete successfully.
"""


def test_what_the_rules_own_program_said_comes_last(work: Path) -> None:
    (work.parent / "said").write_text(SAID)
    program = work.parent / "snakemake"
    program.write_text(f"#!/bin/sh\ncat {work.parent / 'said'} >&2\nexit 1\n")
    program.chmod(0o755)
    done = run(work, (), nested=nested(program=program))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-3:] == [
        "At least one job did not complete successfully.",
        "reading a.bam",
        "    at block 3: the sample is broken",
    ]
