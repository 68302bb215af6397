from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from common.errors import SystemFailure
from engines.nextflow.own_installation import (
    OwnNextflow,
    active_ga4gh,
    check_jars_exist,
    inspect_launcher,
    read_java_arguments,
    read_record,
    write_record,
)

TOLD = "\n      N E X T F L O W\n      version 25.10.2 build 1\n      created 1 January\n"


def noted(*arguments: str) -> str:
    return "".join(f"wes-tes java argument: {argument}\n" for argument in ("begin", *arguments))


class Launcher:
    """Says `text` when it is tried; keeps what it was tried with."""

    def __init__(self, text: str, error: str = "") -> None:
        self.text, self.error = text, error
        self.environment: Mapping[str, str] = {}

    def __call__(
        self, argv: Sequence[str], *, environment: Mapping[str, str], readable: Sequence[Path]
    ) -> "CompletedProcess[str]":
        del readable
        self.environment = environment
        return CompletedProcess(argv, 0, self.text, self.error)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    (folder / "framework" / "25.10.2").mkdir(parents=True)
    (folder / "framework" / "25.10.2" / "one.jar").touch()
    return folder


def look(tmp_path: Path, home: Path, launcher: Launcher, closed: Path | None = None) -> OwnNextflow:
    program = tmp_path / "nextflow"
    program.touch()
    place = tmp_path / "place"
    place.mkdir()
    return inspect_launcher(
        program, home, place, lambda path: closed is None or not path.is_relative_to(closed), launcher
    )


def test_the_jars_and_options_are_those_that_the_launcher_starts(tmp_path: Path, home: Path) -> None:
    jar = home / "framework" / "25.10.2" / "one.jar"
    launcher = Launcher(noted("--add-opens=java.base/java.x=ALL-UNNAMED", "-Da=b", "-jar", str(jar), "-version") + TOLD)
    found = look(tmp_path, home, launcher)
    assert found == OwnNextflow(
        version="25.10.2", classpath=(jar,), options=("--add-opens=java.base/java.x=ALL-UNNAMED",)
    )
    assert launcher.environment["NXF_OFFLINE"] == "true"
    assert launcher.environment["NXF_HOME"] == str(home)
    assert not [name for name in launcher.environment if name.startswith("WES_")]


def test_only_the_folders_of_its_jars_and_plugins_are_seen_by_runs(home: Path) -> None:
    jars = home / "framework" / "25.10.2"
    own = OwnNextflow(
        version="25.10.2", classpath=(jars / "a.jar", jars / "b.jar", home / "c.jar"), plugins=home / "plugins"
    )
    assert own.readable(home) == (jars, home / "c.jar", home / "plugins")


def test_of_several_javas_the_last_counts_and_a_wildcard_is_all_jars(tmp_path: Path) -> None:
    for name in ("b.jar", "a.jar", "c.txt"):
        (tmp_path / name).touch()
    text = noted("-jar", "/first.jar") + "said\n" + noted("-cp", f"{tmp_path}/*:/x.jar", "Main", "-version")
    assert read_java_arguments(text)[0] == (tmp_path / "a.jar", tmp_path / "b.jar", Path("/x.jar"))


@pytest.mark.parametrize(
    ("launcher", "reason"),
    [
        (Launcher("", "Cannot download nextflow required file"), "Cannot download .*; run it once yourself"),
        (Launcher(""), "it printed nothing; run it once yourself"),
        (Launcher("      version 24.10.6 build 1\n"), r"Nextflow 24\.10\.6; 25\.04 or later is needed"),
        (Launcher(TOLD), "does not start the Java that JAVA_CMD, JAVA_HOME or the path name"),
        (Launcher(noted("-jar", "/no/such.jar") + TOLD), "/no/such.jar does not exist"),
    ],
)
def test_what_is_in_the_way_is_told(tmp_path: Path, home: Path, launcher: Launcher, reason: str) -> None:
    with pytest.raises(SystemFailure, match=reason):
        look(tmp_path, home, launcher)


def test_what_engines_can_not_read_is_named(tmp_path: Path, home: Path) -> None:
    with pytest.raises(SystemFailure, match=f"can't read {home}; let others read it"):
        look(tmp_path, home, Launcher(TOLD), closed=home)


def test_a_launcher_that_is_not_there(tmp_path: Path, home: Path) -> None:
    with pytest.raises(SystemFailure, match="there is no file /no/nextflow"):
        inspect_launcher(Path("/no/nextflow"), home, tmp_path, lambda _: True, Launcher(TOLD))


def test_the_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    own = OwnNextflow(
        version="25.04.4",
        classpath=(Path("/a.jar"), Path("/b.jar")),
        options=("--x=y",),
        plugins=Path("/p"),
        ga4gh="1.4.2",
    )
    write_record(tmp_path, own)
    assert read_record(tmp_path) == own


def test_nf_ga4gh_sends_the_tasks_only_as_long_as_it_is_there(tmp_path: Path) -> None:
    own = OwnNextflow(version="25.04.4", classpath=(), plugins=tmp_path, ga4gh="1.4.2")
    assert active_ga4gh(own) is None
    (tmp_path / "nf-ga4gh-1.4.2").mkdir()
    assert active_ga4gh(own) == "1.4.2"
    assert active_ga4gh(None) is None


def test_jars_that_are_gone_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match=r"gone\.jar is gone\): wes engines install nextflow --own"):
        check_jars_exist(OwnNextflow(version="25.04.4", classpath=(tmp_path / "gone.jar",)))
