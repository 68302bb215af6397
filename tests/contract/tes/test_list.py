"""GET /tasks: order, pages and filters (acceptance: tes, 3)."""

from typing import Any

import pytest

from tests.contract.tes.served import Tes


def _ids(found: Any) -> list[str]:
    return [task["id"] for task in found["tasks"]]


def test_pages_hold_every_task_once_newest_first(waiting: Tes) -> None:
    created = [waiting.create() for _ in range(7)]
    seen: list[str] = []
    token = ""
    while True:
        found = waiting.get("/tasks", page_size=3, page_token=token)
        seen += _ids(found)
        waiting.create(name="newer than any page")
        if "next_page_token" not in found:
            break
        token = found["next_page_token"]
    assert seen == created[::-1]


def test_there_is_no_token_on_a_last_page_that_is_full(waiting: Tes) -> None:
    for _ in range(4):
        waiting.create()
    first = waiting.get("/tasks", page_size=2)
    second = waiting.get("/tasks", page_size=2, page_token=first["next_page_token"])
    assert len(second["tasks"]) == 2
    assert "next_page_token" not in second


def test_without_tasks_the_list_is_empty(waiting: Tes) -> None:
    assert waiting.get("/tasks") == {"tasks": []}


def test_names_are_found_by_their_beginning(waiting: Tes) -> None:
    a, b = waiting.create(name="align_1%"), waiting.create(name="alignX1")
    waiting.create(name="Align")
    assert _ids(waiting.get("/tasks", name_prefix="align")) == [b, a]
    assert _ids(waiting.get("/tasks", name_prefix="align_")) == [a]
    assert _ids(waiting.get("/tasks", name_prefix="")).__len__() == 3


def test_states_are_filtered(waiting: Tes) -> None:
    kept, canceled = waiting.create(), waiting.create()
    waiting.client.post(f"/tasks/{canceled}:cancel")
    assert _ids(waiting.get("/tasks", state="QUEUED")) == [kept]
    assert _ids(waiting.get("/tasks", state="CANCELED")) == [canceled]
    assert _ids(waiting.get("/tasks", state="PAUSED")) == []


def test_tags_must_all_match(waiting: Tes) -> None:
    a = waiting.create(tags={"run": "1", "step": "x"})
    b = waiting.create(tags={"run": "1", "step": "y"})
    c = waiting.create(tags={"run": "2"})

    def found(keys: list[str], values: list[str]) -> list[str]:
        return _ids(waiting.get("/tasks", tag_key=keys, tag_value=values))

    assert found(["run"], ["1"]) == [b, a]
    assert found(["run", "step"], ["1", "y"]) == [b]
    assert found(["run"], []) == [c, b, a]
    assert found(["step"], [""]) == [b, a]
    assert found(["step", "run"], ["", "1"]) == [b, a]
    assert found(["step", "run"], ["x", "2"]) == []
    assert found(["color"], []) == []


def test_filters_hold_across_pages(waiting: Tes) -> None:
    wanted = [waiting.create(tags={"a": "b"}) for _ in range(3) if waiting.create()]
    first = waiting.get("/tasks", tag_key="a", page_size=2)
    second = waiting.get("/tasks", tag_key="a", page_size=2, page_token=first["next_page_token"])
    assert _ids(first) + _ids(second) == wanted[::-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("page_size", value) for value in ("0", "-1", "2048", "x", "1.0", "9" * 40, "\u0661")],
        *[("page_token", value) for value in ("x", "W10", "bm90IGpzb24", "=", "é")],
        ("state", "DONE"),
    ],
)
def test_a_bad_parameter_is_refused_by_its_name(waiting: Tes, name: str, value: str) -> None:
    response = waiting.client.get("/tasks", params={name: value})
    assert response.status_code == 400
    assert response.json()["msg"].startswith(f"{name}: ")


def test_more_tag_values_than_keys_are_refused(waiting: Tes) -> None:
    response = waiting.client.get("/tasks", params={"tag_key": ["a"], "tag_value": ["b", "c"]})
    assert response.status_code == 400
    assert response.json()["msg"].startswith("tag_value: ")
