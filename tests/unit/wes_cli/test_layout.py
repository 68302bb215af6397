from pathlib import Path

from wes_cli.bundle import attachment_names

HOME = Path("/home/ada")


def test_a_tool_in_a_folder_above_moves_the_root_up() -> None:
    names = attachment_names([HOME / "flows/main.cwl", HOME / "tools/a.cwl"], [])
    assert names == {HOME / "flows/main.cwl": "flows/main.cwl", HOME / "tools/a.cwl": "tools/a.cwl"}


def test_data_beside_the_workflow_keeps_its_place() -> None:
    names = attachment_names([HOME / "wf.cwl"], [HOME / "reads/a.fq"])
    assert names[HOME / "reads/a.fq"] == "reads/a.fq"


def test_data_elsewhere_does_not_move_the_root() -> None:
    names = attachment_names([HOME / "wf.cwl"], [Path("/data/x/a.fq"), Path("/data/y/b.fq")])
    assert names == {
        HOME / "wf.cwl": "wf.cwl",
        Path("/data/x/a.fq"): "inputs/x/a.fq",
        Path("/data/y/b.fq"): "inputs/y/b.fq",
    }


def test_the_folder_for_data_avoids_a_folder_of_the_workflow() -> None:
    names = attachment_names([HOME / "wf.cwl", HOME / "inputs/code.js"], [Path("/data/a.fq")])
    assert names[Path("/data/a.fq")] == "inputs-2/a.fq"


def test_data_without_a_local_workflow_is_named_from_its_own_folder() -> None:
    assert attachment_names([], [HOME / "a/x", HOME / "b/y"]) == {HOME / "a/x": "a/x", HOME / "b/y": "b/y"}
