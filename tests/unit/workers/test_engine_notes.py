import json
from pathlib import Path

from common.engine import RunFolder
from workers.run.collect import NOTE_LENGTH, NOTES_LINES, engine_notes


def write(root: Path, text: str) -> RunFolder:
    folder = RunFolder(root=root)
    (folder.work / ".wes").mkdir(parents=True, exist_ok=True)
    (folder.work / ".wes" / "notes.json").write_text(text)
    return folder


def test_each_note_is_a_line(tmp_path: Path) -> None:
    assert engine_notes(write(tmp_path, '["one", "two\\nlines"]')) == ("one", "two lines")


def test_there_may_be_none_or_nonsense(tmp_path: Path) -> None:
    assert engine_notes(RunFolder(root=tmp_path)) == ()
    for text in ("{", "{}", "3", "[1, null]", "[" * 30_000):
        assert engine_notes(write(tmp_path, text)) == ()


def test_a_flood_of_them_is_cut(tmp_path: Path) -> None:
    notes = engine_notes(write(tmp_path, json.dumps(["x" * 1000] * 30)))
    assert [len(note) for note in notes] == [NOTE_LENGTH] * NOTES_LINES


def test_a_link_to_a_file_of_the_server_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('["secret"]')
    folder = write(tmp_path / "run", "[]")
    path = folder.work / ".wes" / "notes.json"
    path.unlink()
    path.symlink_to(secret)
    assert engine_notes(folder) == ()
