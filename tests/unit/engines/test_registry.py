import json
from pathlib import Path

import pytest

from engines.registry import ENGINES, RECIPES, engine_named, engines_for_type, installations, recipe_named


def put(engines: Path, name: str, version: str, marker: str | None = None) -> Path:
    folder = engines / name / version
    folder.mkdir(parents=True)
    document = json.dumps({"engine": "cwltool", "version": version, "readable": ["/opt/python"]})
    (folder / "installation.json").write_text(document if marker is None else marker)
    return folder


@pytest.mark.parametrize("name", ["cwltool", "CWLTool", "cwl-tes", "cwl", "CWL-TES"])
def test_an_engine_has_several_names_in_any_case(name: str) -> None:
    engine = engine_named(name)
    assert engine is not None
    assert engine.name == "cwltool"


def test_an_unknown_name_is_no_engine() -> None:
    assert engine_named("make") is None
    assert recipe_named("make") is None


def test_a_workflow_type_is_found_in_any_case() -> None:
    assert [engine.name for engine in engines_for_type("cwl")] == ["cwltool"]
    assert engines_for_type("XYZ") == ()


def test_no_two_engines_share_a_name() -> None:
    names = [name for engine in ENGINES for name in {engine.name, engine.folder_name, *engine.aliases}]
    assert len(names) == len(set(names))


def test_each_engine_has_the_recipe_of_its_folder() -> None:
    assert [(recipe.engine, recipe.folder_name) for recipe in RECIPES] == [
        (engine.name, engine.folder_name) for engine in ENGINES
    ]


def test_installations_are_listed_newest_first(tmp_path: Path) -> None:
    for version in ("3.3.9", "3.10.1", "3.3.20250101"):
        put(tmp_path, "cwl", version)
    found = installations(tmp_path)
    assert [each.version for each in found] == ["3.10.1", "3.3.20250101", "3.3.9"]
    assert found[0].environment == tmp_path / "cwl" / "3.10.1" / "environment"
    assert found[0].readable == (Path("/opt/python"),)


@pytest.mark.parametrize("marker", ["", "{", "[]", '{"engine": "cwltool"}'])
def test_an_unfinished_installation_is_not_listed(tmp_path: Path, marker: str) -> None:
    put(tmp_path, "cwl", "1.0", marker)
    (tmp_path / "cwl" / "2.0").mkdir()
    assert installations(tmp_path) == ()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert installations(tmp_path / "none") == ()


def test_a_users_own_comes_before_the_same_version_from_here_and_after_a_newer_one(tmp_path: Path) -> None:
    for version in ("25.04.4", "25.10.0", "25.04.4+own"):
        put(tmp_path, "nextflow", version)
    assert [each.version for each in installations(tmp_path)] == ["25.10.0", "25.04.4+own", "25.04.4"]
