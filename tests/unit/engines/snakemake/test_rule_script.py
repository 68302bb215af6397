"""The script of a rule in an image without Snakemake, run by real shells."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engines.snakemake.executor.rule_script import RuleScript, ScriptInTask, place_of, strings_in
from engines.snakemake.executor.script import ScriptContext, script

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
BASH = ("bash", "-euo", "pipefail", "-c")
PYTHON = RuleScript(
    file="say it.py",
    text="import sys\nprint(sys.argv, 'said')\n",
    command=f"python '{place_of('say it.py')}'",
    programs=("python",),
    in_python=True,
)
R = RuleScript(file="plot.R", text="1\n", command=f"Rscript --vanilla {place_of('plot.R')}", programs=("Rscript",))


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with a few programs, as an image has them: `python3`, but no `python`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "bash", "mkdir", "cp", "chmod", "cat"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(Path(found).resolve())
    (folder / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} -I "$@"\n')
    (folder / "python3").chmod(0o755)
    return folder


def run(tmp_path: Path, programs: Path, made: RuleScript, shell: str = "sh", python: str = "/no/such") -> Any:
    source = ScriptInTask(rule="a", kind="a script:", image="debian:12", python=Path(python), script=made)
    file = tmp_path / "1.sh"
    file.write_text(script(ScriptContext(rule="a", attachments=tmp_path, source=source)))
    file.with_name("1.sh.source").write_text(made.text)
    program = shutil.which(shell)
    assert program is not None
    (tmp_path / "work").mkdir()
    argv = [program, *(["sh"] if shell == "busybox" else []), str(file), *BASH, made.command]
    environment = {"PATH": str(programs), "HOME": str(tmp_path)}
    return subprocess.run(argv, cwd=tmp_path / "work", env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_it_runs_in_the_working_folder_with_whichever_python_the_image_has(
    tmp_path: Path, programs: Path, shell: str
) -> None:
    done = run(tmp_path, programs, PYTHON, shell)
    assert (done.returncode, done.stdout) == (0, "['.snakemake/scripts/wes.say it.py'] said\n"), done.stderr


def test_the_engines_own_python_comes_first_where_a_task_sees_it(tmp_path: Path, programs: Path) -> None:
    own = tmp_path / "engine" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\necho the engine\n")
    own.chmod(0o755)
    assert run(tmp_path, programs, PYTHON, python=str(own)).stdout == "the engine\n"


@pytest.mark.parametrize(("made", "program"), [(PYTHON, "python"), (R, "Rscript")])
def test_an_image_without_the_program_is_told(tmp_path: Path, programs: Path, made: RuleScript, program: str) -> None:
    (programs / "python3").unlink()
    # What the shell itself says comes first.
    done = run(tmp_path, programs, made)
    assert done.returncode == 127
    assert done.stderr.endswith(
        f"the rule a has a script: ({made.file}), which needs {program}, and there is none in the image debian:12: "
        "give the rule a container: that has it\n"
    )


def test_a_python_that_can_not_load_snakemakes_modules_is_told_with_its_version(tmp_path: Path, programs: Path) -> None:
    bad = RuleScript(**{**PYTHON.__dict__, "text": "raise SystemExit(3)\n"})
    done = run(tmp_path, programs, bad)
    assert done.returncode == 3
    version = ".".join(map(str, sys.version_info[:3]))
    assert done.stderr.endswith(f"with Python 3.9 or later; this one is Python {version}\n")


def test_strings_are_found_at_any_depth() -> None:
    assert strings_in([{"a": ["x", {"b": "y"}], "c": 1}, ("z",), None]) == ("x", "y", "z")
