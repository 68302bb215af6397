"""What is special about one TES server."""

from typing import Any

from gateway.tes_client import dialect_of, funnel, standard

TASK: Any = {
    "name": "a",
    "inputs": [{"url": "file:///runs/a%20b%23.txt", "path": "/in/x"}, {"content": "c", "path": "/in/y"}],
    "outputs": [{"url": "file:///runs/o%25", "path": "/out"}, {"url": "https://h/a%20b", "path": "/p"}],
    "executors": [{"image": "i", "command": ["c"]}],
}


def test_funnel_gets_paths_as_they_are() -> None:
    spoken: Any = funnel(TASK)
    assert spoken["inputs"] == [{"url": "file:///runs/a b#.txt", "path": "/in/x"}, {"content": "c", "path": "/in/y"}]
    assert spoken["outputs"][0]["url"] == "file:///runs/o%"
    assert spoken["outputs"][1] == TASK["outputs"][1]
    assert spoken["executors"] == TASK["executors"]


def test_others_get_the_standards_form() -> None:
    assert standard(TASK) == TASK


def test_a_server_is_known_by_what_it_calls_itself() -> None:
    assert dialect_of({"id": "org.ga4gh.funnel", "name": "Funnel"}) is funnel
    assert dialect_of({"name": "Our Funnel"}) is funnel
    assert dialect_of({"id": "org.example.tes", "name": "TESK"}) is standard
    assert dialect_of({}) is standard
