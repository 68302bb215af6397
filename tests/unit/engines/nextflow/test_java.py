from pathlib import Path

import pytest

from engines.nextflow.java import find_java, java_folders


def a_java(home: Path, version: str) -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '    java.home = {home}\n    java.specification.version = {version}' >&2\n")
    program.chmod(0o755)
    return home


def test_the_first_java_that_fits_is_taken(tmp_path: Path) -> None:
    homes = [a_java(tmp_path / version, version) for version in ("1.8", "11", "25", "21", "17")]
    found = find_java(lambda _: True, [tmp_path / "none", *homes])
    assert found is not None
    assert (found.version, found.home) == (21, tmp_path / "21")


def test_one_that_the_engines_user_can_not_read_is_passed_over(tmp_path: Path) -> None:
    closed, opened = a_java(tmp_path / "closed", "17"), a_java(tmp_path / "open", "17")
    found = find_java(lambda path: not path.is_relative_to(closed), [closed, opened])
    assert found is not None
    assert found.home == opened
    assert find_java(lambda _: False, [closed, opened]) is None


def test_java_home_counts_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(a_java(tmp_path / "own", "17")))
    found = find_java(lambda _: True)
    assert found is not None
    assert found.home == tmp_path / "own"


def test_folders_that_links_lead_to_are_readable_too(tmp_path: Path) -> None:
    home = a_java(tmp_path / "home", "17")
    found = find_java(lambda _: True, [home])
    assert found is not None
    assert java_folders(found) == (home,)
    (tmp_path / "conf").mkdir()
    (home / "conf").symlink_to(tmp_path / "conf")
    (home / "security").symlink_to("/etc/ssl")
    assert java_folders(found) == (home, tmp_path / "conf")
