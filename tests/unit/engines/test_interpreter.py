import sys
from pathlib import Path

import pytest

from common.errors import SystemFailure
from engines import interpreter
from engines.interpreter import ask, candidates, copy_own, find_interpreter, open_to_all


def ignore(line: str) -> None:
    del line


def test_a_python_tells_its_version_prefix_and_library() -> None:
    found = ask(Path(sys.executable))
    assert found is not None
    assert found.version == sys.version_info[:2]
    assert found.prefix == Path(sys.base_prefix)
    assert (found.library / "os.py").is_file()


def test_what_is_no_python_is_passed_over(tmp_path: Path) -> None:
    script = tmp_path / "python3"
    script.write_text("#!/bin/sh\necho hello\n")
    script.chmod(0o755)
    assert ask(script) is None
    assert ask(tmp_path / "none") is None


def test_the_first_python_that_may_be_read_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "python3"
    closed.symlink_to(sys.executable)
    own = ask(Path(sys.executable))
    assert own is not None
    monkeypatch.setattr(interpreter, "candidates", lambda: [tmp_path / "none", closed])
    assert find_interpreter(lambda _: True, tmp_path, ignore).path == own.path


def test_the_own_python_is_the_first_candidate() -> None:
    assert next(iter(candidates())).is_relative_to(sys.base_prefix)


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
    monkeypatch.setattr(interpreter, "candidates", list)
    lines: list[str] = []
    found = find_interpreter(lambda _: True, tmp_path / "engines", lines.append)
    copied = tmp_path / "engines" / f"python-{name.removeprefix('python')}"
    assert found.path == copied / "bin" / name
    assert found.path.stat().st_mode & 0o777 == 0o755
    assert not (copied / "lib" / "test").exists()
    assert len(lines) == 1
    assert copy_own(tmp_path / "engines", lines.append) == found
    assert len(lines) == 1


def test_a_copy_that_does_not_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = tmp_path / "broken"
    prefix.mkdir()
    monkeypatch.setattr(sys, "base_prefix", str(prefix))
    with pytest.raises(SystemFailure, match="apt-get install python3"):
        copy_own(tmp_path / "engines", ignore)


def test_others_get_what_the_owner_has_but_no_writing(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir(mode=0o700)
    (folder / "text").touch(mode=0o600)
    (folder / "tool").touch(mode=0o700)
    open_to_all(folder)
    modes = [path.stat().st_mode & 0o777 for path in (folder, folder / "text", folder / "tool")]
    assert modes == [0o755, 0o644, 0o755]
