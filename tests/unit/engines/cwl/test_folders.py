from pathlib import Path

from engines.cwl.executor.folders import new_output_folder, replace_by_link, write_back, write_literal


def test_folders_of_steps_are_never_used_twice(tmp_path: Path) -> None:
    made = [new_output_folder(tmp_path, "a/b c") for _ in range(3)]
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
