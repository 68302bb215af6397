import json
import logging
from pathlib import Path

from engines.cwl.executor.failure import ErrorLog, Failure, Failures, condensed
from engines.cwl.executor.folders import new_folder, replace_by_link, write_back, write_literal


def test_the_first_failure_counts(tmp_path: Path) -> None:
    failures = Failures(tmp_path / "failure.json")
    failures.add(Failure(kind="step", sentence="first", step="a", task_id="t", exit_code=1))
    failures.add(Failure(kind="step", sentence="second"))
    assert json.loads((tmp_path / "failure.json").read_text()) == {
        "kind": "step",
        "sentence": "first",
        "step": "a",
        "task_id": "t",
        "exit_code": 1,
    }


def test_places_are_given_once_and_without_folders() -> None:
    message = (
        "file:///run/attachments/wf.cwl:3:1:  checking field `steps`\n"
        "file:///run/attachments/wf.cwl:3:1:    checking object\n"
        "../attachments/wf.cwl:9:2:  * missing required field\n"
        "  `run`\n"
    )
    assert condensed(message) == (
        "wf.cwl:3:1: checking field `steps` checking object wf.cwl:9:2: * missing required field `run`"
    )


def test_a_reference_to_the_web_is_explained() -> None:
    message = "Field 'run' contains undefined reference to 'https://example.org/a.cwl'"
    assert condensed(message).startswith(f"{message}; the engine has no network")
    assert "network" not in condensed(message.replace("https://example.org/", "file:///"))


def test_a_place_without_a_file_is_left_out() -> None:
    assert condensed("file:///run/attachments/:1:1: no such file") == "no such file"


def test_a_long_message_is_cut() -> None:
    assert len(condensed("x" * 5000)) == 1000


def test_the_first_logged_error_is_kept() -> None:
    log = ErrorLog()
    logger = logging.getLogger("test of failures")
    logger.addHandler(log)
    logger.warning("no")
    logger.error("Cannot make job: %s", "why")
    logger.error("later")
    assert log.first == "Cannot make job: why"


def test_folders_of_steps_are_never_used_twice(tmp_path: Path) -> None:
    made = [new_folder(tmp_path, "a/b c") for _ in range(3)]
    assert [folder.parent.name for folder in made] == ["a_b_c", "a_b_c~2", "a_b_c~3"]
    assert all(folder.name == "out" and folder.is_dir() for folder in made)


def test_the_same_literal_is_one_file(tmp_path: Path) -> None:
    first, second = (write_literal(tmp_path, "é", "a.txt") for _ in range(2))
    assert first == second
    assert first.read_text() == "é"
    assert write_literal(tmp_path, "other", "a.txt") != first


def test_a_link_takes_the_place_of_what_a_tes_brought_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("real")
    folder = tmp_path / "out" / "folder"
    (folder / "copy").mkdir(parents=True)
    replace_by_link(folder, str(source))
    replace_by_link(tmp_path / "out" / "deep" / "new", str(source))
    assert folder.is_symlink()
    assert folder.read_text() == "real"
    assert (tmp_path / "out" / "deep" / "new").read_text() == "real"


def test_a_change_in_place_is_written_back(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("1")
    new.write_text("2")
    write_back(new, str(old))
    assert old.read_text() == "2"
