"""What `.ci/setup` says on a machine that lacks something, with a PATH of our own making."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
TOOLS = ("awk", "cat", "cksum", "dirname", "env", "grep", "mkdir", "rm", "sh")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout without .venv, and beside it a `bin` with the tools that every system has."""
    for name in (".ci/setup", "requirements/run.txt", "requirements/dev.txt", "pyproject.toml"):
        target = tmp_path / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, target)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def add_python(machine: Path, version: str, *, new_enough: bool, has_venv: bool) -> None:
    """A `python3` that answers the three questions of the script and does nothing else."""
    old, lacks = int(not new_enough), int(not has_venv)
    answers = f"*print*) echo {version} ;; *version_info*) exit {old} ;; *ensurepip*) exit {lacks} ;; *) exit 7 ;;"
    python = machine / "bin" / "python3"
    python.write_text(f'#!/bin/sh\ncase "$*" in {answers} esac\n')
    python.chmod(0o755)


def set_up(machine: Path) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": str(machine / "bin")}
    command = [str(machine / "checkout/.ci/setup"), "run"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_old_python_is_told_with_its_version(machine: Path) -> None:
    add_python(machine, "3.9", new_enough=False, has_venv=True)
    done = set_up(machine)
    assert done.returncode != 0
    assert "Python 3.11 or later is needed; this machine has: 3.9" in done.stderr


def test_a_python_without_venv_names_the_package(machine: Path) -> None:
    add_python(machine, "3.12", new_enough=True, has_venv=False)
    done = set_up(machine)
    assert done.returncode != 0
    assert "apt-get install python3.12-venv" in done.stderr


def test_no_python_at_all_is_told(machine: Path) -> None:
    done = set_up(machine)
    assert done.returncode != 0
    assert "there is none on the PATH" in done.stderr


def test_a_failed_install_shows_pips_words_and_is_tried_again(machine: Path) -> None:
    pip = machine / "checkout/.venv/bin/python"
    pip.parent.mkdir(parents=True)
    pip.write_text('#!/bin/sh\ncase "$*" in *install*) echo "no such host"; exit 3 ;; esac\n')
    pip.chmod(0o755)
    for _ in range(2):
        done = set_up(machine)
        assert done.returncode != 0
        assert "installing" in done.stderr
        assert "no such host" in done.stderr
