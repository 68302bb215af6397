import itertools

import pytest

from gateway.run_objects import RunObjects, StoredOutput, beginnings, is_safe, url_below
from tes.task import TesOutput

OBJECTS = RunObjects(storage="s3://runs/far", run_id="01run")
DIGESTS = ("0" * 64, "f" * 64)


def test_no_key_of_a_run_is_the_beginning_of_another() -> None:
    tasks = [(f"{number:020x}", submission) for number in (1, 16) for submission in (1, 2, 11)]
    urls = [OBJECTS.output(*task, number) for task in tasks for number in (0, 1, 10, 100_000)]
    urls += [OBJECTS.content(digest) for digest in DIGESTS]
    assert beginnings(urls) == frozenset()
    assert all(one.startswith("s3://runs/far/01run/") for one in urls)
    assert len(set(urls)) == len(urls)


def test_objects_that_others_begin_with_are_found() -> None:
    root = "s3://b/x/"
    assert beginnings([root + name for name in ("a.txt", "a", "ab", "b", "a/c")]) == {root + "a"}
    assert beginnings([]) == beginnings([root]) == frozenset()


@pytest.mark.parametrize(("below", "found"), [("000003", ""), ("000003/x/y z#%", "x/y z#%")])
def test_an_output_is_known_by_its_url(below: str, found: str) -> None:
    url = f"{OBJECTS.outputs('task', 2)}/{below}"
    assert OBJECTS.stored_output("task", 2, url) == StoredOutput(number=3, path=found)


@pytest.mark.parametrize(
    "url",
    [
        OBJECTS.output("task", 1, 3),
        OBJECTS.output("other", 2, 3),
        f"{OBJECTS.outputs('task', 2)}/3",
        f"{OBJECTS.outputs('task', 2)}/000003x",
        OBJECTS.outputs("task", 2),
        OBJECTS.content(DIGESTS[0]),
        "s3://runs/far/02run/outputs/task/2/000003",
        "",
    ],
)
def test_what_is_no_output_of_the_task_is_none(url: str) -> None:
    assert OBJECTS.stored_output("task", 2, url) is None


def test_an_engine_knows_what_lies_in_an_output_by_its_own_url() -> None:
    folder: TesOutput = {"url": "file:///wes/run/work/out", "path": "/out"}
    assert url_below(folder, "") == "file:///wes/run/work/out"
    assert url_below(folder, "a b#/c%") == "file:///wes/run/work/out/a%20b%23/c%25"


def test_names_that_leave_their_folder_are_not_safe() -> None:
    for path in ("..", "a/../b", "/a", "a//b", "a/", ".", "a/./b", "a\0b", "x" * 256, *itertools.repeat("", 1)):
        assert not is_safe(path), path
    for path in ("a", "a b/c#%", "...", "ü/😀", "-", ".hidden"):
        assert is_safe(path), path
