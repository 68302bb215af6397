"""What a downloaded workflow names outside of its folder is not uploaded unless a person says so."""

from pathlib import Path

import pytest

from common.json_types import Json
from tests.unit.wes_cli.test_bundle import bundle, tool, write
from wes_cli.errors import InvalidArgument

KEY = {"home/.ssh/id_rsa": "secret"}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def default(location: str) -> Json:
    return tool(x={"type": "File", "default": {"class": "File", "location": location}})


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("main.nf", "x = file('../../.ssh/id_rsa')"),
        ("Snakefile", "rule a:\n  input: '../../.ssh/id_rsa'"),
        ("wf.wdl", 'version 1.0\nimport "../../.ssh/id_rsa"'),
        ("wf.cwl", default("../../.ssh/id_rsa")),
    ],
)
def test_a_workflow_that_names_a_key_is_refused_with_the_file_and_the_option(
    tmp_path: Path, name: str, source: object
) -> None:
    write(tmp_path, {f"home/downloads/wf/{name}": source, **KEY})
    main = tmp_path / "home/downloads/wf" / name
    with pytest.raises(InvalidArgument, match=r"(?s)home/\.ssh/id_rsa  \(named by .*--attach FILE.*--allow-outside"):
        bundle(tmp_path, workflow=main)
    sent = bundle(tmp_path, workflow=main, allow_outside=True).attachments.values()
    assert tmp_path / "home/.ssh/id_rsa" in sent
    assert (
        tmp_path / "home/.ssh/id_rsa"
        in bundle(tmp_path, workflow=main, attach=[tmp_path / "home/.ssh/id_rsa"]).attachments.values()
    )


def test_a_link_that_leads_out_of_the_folder_is_outside(tmp_path: Path) -> None:
    write(tmp_path, {"wf/main.nf": "x = file('data.txt')", **KEY})
    (tmp_path / "wf/data.txt").symlink_to(tmp_path / "home/.ssh/id_rsa")
    with pytest.raises(InvalidArgument, match=r"wf/data\.txt -> .*/id_rsa"):
        bundle(tmp_path, workflow=tmp_path / "wf/main.nf")


def test_a_link_among_what_the_engine_reads_unasked_is_outside_too(tmp_path: Path) -> None:
    write(tmp_path, {"wf/main.nf": "", "wf/bin/a.sh": "", **KEY})
    (tmp_path / "wf/bin/x").symlink_to(tmp_path / "home/.ssh/id_rsa")
    with pytest.raises(InvalidArgument, match=r"bin/x -> .*/id_rsa"):
        bundle(tmp_path, workflow=tmp_path / "wf/main.nf")


def test_the_repository_of_a_workflow_is_its_folder_but_not_what_git_keeps(tmp_path: Path) -> None:
    write(tmp_path, {"r/.git/config": "token", "r/flows/main.nf": "file('../data/a.txt')", "r/data/a.txt": ""})
    assert set(bundle(tmp_path, workflow=tmp_path / "r/flows/main.nf").attachments) == {"flows/main.nf", "data/a.txt"}
    write(tmp_path, {"r/flows/main.nf": "file('../.git/config')"})
    with pytest.raises(InvalidArgument, match=r"\.git/config"):
        bundle(tmp_path, workflow=tmp_path / "r/flows/main.nf")


def test_a_home_folder_under_git_is_not_the_workflows_folder(tmp_path: Path) -> None:
    write(tmp_path, {"home/.git/HEAD": "", "home/wf/main.nf": "file('../notes.txt')", "home/notes.txt": ""})
    with pytest.raises(InvalidArgument, match=r"notes\.txt"):
        bundle(tmp_path, workflow=tmp_path / "home/wf/main.nf")


def test_a_workflow_right_in_the_home_folder_does_not_reach_hidden_files(tmp_path: Path) -> None:
    write(tmp_path, {"home/main.nf": "file('.ssh/id_rsa'); file('data.txt')", "home/data.txt": "", **KEY})
    with pytest.raises(InvalidArgument, match=r"(?s)id_rsa  \(named"):
        bundle(tmp_path, workflow=tmp_path / "home/main.nf")


def test_a_pattern_of_secondary_files_reaches_no_other_folder(tmp_path: Path) -> None:
    document = tool(x={"type": "File", "secondaryFiles": ["/../home/.ssh/id_rsa", "^^^^/../../x"]})
    write(tmp_path, {"wf/wf.cwl": document, "wf/a.txt": "", **KEY})
    found = bundle(tmp_path, {"x": {"class": "File", "path": "wf/a.txt"}}, workflow=tmp_path / "wf/wf.cwl")
    assert set(found.attachments) == {"wf.cwl", "a.txt"}


def test_the_params_of_a_person_may_name_what_they_like(tmp_path: Path) -> None:
    write(tmp_path, {"wf/main.nf": "", "data/a.fq": ""})
    found = bundle(tmp_path, {"reads": "data/a.fq"}, workflow=tmp_path / "wf/main.nf")
    assert found.params == {"reads": "inputs/a.fq"}
