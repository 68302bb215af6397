import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from common.engine import Installation
from common.errors import SettingsError, SystemFailure
from engines import install as module
from engines.install import ensure_current, install, install_own
from engines.recipe import EngineBuild, InstallTarget, Trial
from engines.registry import installations


class FakeRecipe:
    """Installs an empty environment; `fails` makes the next build fail half-way."""

    engine = "cwltool"
    folder_name = "cwl"
    versions: tuple[str, ...] = ("2.0", "1.0")

    def __init__(self) -> None:
        self.built: list[str] = []
        self.refreshed: list[Path] = []
        self.fails = False
        self.read_only = False
        self.pinned = Path(__file__)

    def lock(self, version: str) -> Path:
        del version
        return self.pinned

    def build(self, version: str, target: InstallTarget) -> tuple[Path, ...]:
        self.built.append(version)
        (target.environment / "half").touch()
        if self.fails:
            raise SystemFailure("the package index can't be reached: no network")
        target.report("building")
        return (Path("/opt/python"),)

    def refresh(self, environment: Path) -> None:
        if self.read_only:
            raise PermissionError(13, "Permission denied")
        self.refreshed.append(environment)


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> FakeRecipe:
    made = FakeRecipe()
    monkeypatch.setattr(module, "recipe_named", lambda name: made if name in {"cwl", "cwltool"} else None)
    return made


def ignore(line: str) -> None:
    del line


def test_the_newest_version_is_installed_by_default(tmp_path: Path, recipe: FakeRecipe) -> None:
    lines: list[str] = []
    installed = install("cwl", None, tmp_path, lines.append)
    assert (installed.engine, installed.version) == ("cwltool", "2.0")
    assert installed.environment == tmp_path / "cwl" / "2.0" / "environment"
    assert lines == ["building", "installed cwltool 2.0"]
    assert installations(tmp_path) == (installed,)
    assert recipe.refreshed == [installed.environment]


def test_a_folder_of_engines_that_is_named_relatively_is_the_same_folder(
    tmp_path: Path, recipe: FakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Scripts of an environment hold its path, and an engine starts elsewhere.
    assert install("cwl", None, Path("engines"), ignore).environment == tmp_path / "engines/cwl/2.0/environment"
    assert recipe.refreshed == [tmp_path / "engines/cwl/2.0/environment"]


def test_versions_lie_side_by_side(tmp_path: Path, recipe: FakeRecipe) -> None:
    for version in ("1.0", "2.0"):
        install("cwl", version, tmp_path, ignore)
    assert [each.version for each in installations(tmp_path)] == ["2.0", "1.0"]
    assert recipe.built == ["1.0", "2.0"]


def test_a_second_install_builds_nothing(tmp_path: Path, recipe: FakeRecipe) -> None:
    first = install("cwl", None, tmp_path, ignore)
    assert install("cwltool", "2.0", tmp_path, ignore) == first
    assert recipe.built == ["2.0"]


def test_one_that_is_made_of_other_packages_by_now_is_built_anew(tmp_path: Path, recipe: FakeRecipe) -> None:
    recipe.pinned = tmp_path / "lock.txt"
    for packages in ("a==1", "a==1", "a==1 b==2"):
        recipe.pinned.write_text(packages)
        install("cwl", None, tmp_path / "engines", ignore)
    assert recipe.built == ["2.0", "2.0"]


def test_a_failed_install_is_not_listed_and_the_next_one_starts_afresh(tmp_path: Path, recipe: FakeRecipe) -> None:
    recipe.fails = True
    with pytest.raises(SystemFailure, match="no network"):
        install("cwl", None, tmp_path, ignore)
    assert installations(tmp_path) == ()
    recipe.fails = False
    leftover = tmp_path / "cwl" / "2.0" / "environment" / "leftover"
    leftover.touch()
    install("cwl", None, tmp_path, ignore)
    assert not leftover.exists()


def test_an_unknown_engine_is_told_with_those_that_there_are(tmp_path: Path, recipe: FakeRecipe) -> None:
    with pytest.raises(SettingsError, match="'make'; there are: cwl"):
        install("make", None, tmp_path, ignore)


def test_an_unknown_version_is_told_with_those_that_there_are(tmp_path: Path, recipe: FakeRecipe) -> None:
    with pytest.raises(SettingsError, match=r"unknown version '9' of cwltool; have: 2\.0, 1\.0"):
        install("cwl", "9", tmp_path, ignore)


def test_a_place_that_engines_can_not_enter_is_refused_before_anything_is_fetched(
    tmp_path: Path, recipe: FakeRecipe
) -> None:
    with pytest.raises(SystemFailure, match="WES_ENGINES"):
        install("cwl", None, tmp_path, ignore, may_read=lambda _: False)
    assert recipe.built == []


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path, recipe: FakeRecipe) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(SystemFailure, match="can't be written"):
        install("cwl", None, blocked, ignore)


def test_two_installs_at_once_build_once(tmp_path: Path, recipe: FakeRecipe) -> None:
    lines: list[str] = []
    together = [threading.Thread(target=install, args=("cwl", None, tmp_path, lines.append)) for _ in range(4)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert recipe.built == ["2.0"]


def test_an_installed_engine_is_brought_up_to_date(tmp_path: Path, recipe: FakeRecipe) -> None:
    installed = Installation(engine="cwltool", version="2.0", environment=tmp_path)
    ensure_current(installed)
    assert recipe.refreshed == [tmp_path]


def test_one_that_can_not_be_brought_up_to_date_says_who_has_to(tmp_path: Path, recipe: FakeRecipe) -> None:
    recipe.read_only = True
    with pytest.raises(SystemFailure, match="wes engines install cwl"):
        ensure_current(Installation(engine="cwltool", version="2.0", environment=tmp_path))


class OwnTaking(FakeRecipe):
    """May be the user's own instead."""

    def find_own(self, program: Path, place: Path, may_read: Callable[[Path], bool], trial: Trial) -> EngineBuild:
        assert place.is_dir()
        assert may_read(place)
        said = trial([str(program)], environment={}, readable=[place]).stdout

        def build(target: InstallTarget) -> tuple[Path, ...]:
            self.built.append(f"own {said}")
            return (target.environment / "jars",)

        return EngineBuild(version=f"{said}+own", build=build)


def say(argv: Sequence[str], *, environment: Mapping[str, str], readable: Sequence[Path]) -> "CompletedProcess[str]":
    del environment, readable
    return CompletedProcess(argv, 0, argv[0].removeprefix("/bin/"), "")


def everything(path: Path) -> bool:
    return path.exists()


def test_a_users_own_is_installed_under_its_own_version_and_anew_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = OwnTaking()
    monkeypatch.setattr(module, "recipe_named", lambda _: recipe)
    for _ in range(2):
        installed = install_own("cwl", Path("/bin/7.1"), tmp_path, ignore, may_read=everything, trial=say)
    assert recipe.built == ["own 7.1", "own 7.1"]
    assert installations(tmp_path) == (installed,)
    assert installed.version == "7.1+own"
    assert installed.readable == (tmp_path / "cwl" / "7.1+own" / "environment" / "jars",)
    assert [path.name for path in tmp_path.iterdir()] == ["cwl"]


def test_an_engine_that_can_not_be_the_users_own_says_so(tmp_path: Path, recipe: FakeRecipe) -> None:
    with pytest.raises(SettingsError, match="cwltool can't be one of your own: wes engines install cwl"):
        install_own("cwl", Path("/bin/true"), tmp_path, ignore, may_read=everything, trial=say)
    assert recipe.built == []
