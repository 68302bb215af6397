"""This project's modules in an engine's environment."""

from pathlib import Path

import pytest

from engines.executor_package import digest_of, install_package


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    (tmp_path / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/usr/bin/true")
    return tmp_path


def test_modules_lie_in_their_folders_and_others_can_read_them(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    (tmp_path / "b.py").write_text("b = 2\n")
    files = {"one/a.py": tmp_path / "a.py", "two/deep/b.py": tmp_path / "b.py"}
    install_package(environment, "made", files)
    package = environment / "lib/python3.11/site-packages/made"
    assert (package / "one/a.py").read_text() == "a = 1\n"
    assert (package / "two/deep/b.py").read_text() == "b = 2\n"
    assert (package / "DIGEST").read_text() == digest_of(files)
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in [package, *package.rglob("*")])
    assert all(path.stat().st_mode & 0o011 == 0o011 for path in package.rglob("*") if path.is_dir())


def test_it_is_made_anew_only_where_something_changed(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    files = {"a.py": tmp_path / "a.py"}
    install_package(environment, "made", files)
    package = environment / "lib/python3.11/site-packages/made"
    (package / "kept").touch()
    install_package(environment, "made", files)
    assert (package / "kept").exists()
    (tmp_path / "a.py").write_text("a = 2\n")
    install_package(environment, "made", files)
    assert not (package / "kept").exists()
    assert (package / "a.py").read_text() == "a = 2\n"
    assert [path.name for path in package.parent.iterdir()] == ["made"]
