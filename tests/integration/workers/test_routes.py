"""A gateway with several TES servers, of which some are full, sick or refuse."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.tes_server import BadTes, bad_tes
from tests.integration.workers.conftest import Rig, rigged


@contextmanager
def two_servers(
    folder: Path, near_keys: str = "", far_keys: str = "cost = 1", **settings: Any
) -> Iterator[tuple[Rig, BadTes, BadTes]]:
    """`near`, and `far`, which is dearer."""
    with bad_tes() as near, bad_tes() as far:
        file = folder / "wes.toml"
        file.write_text(f'[tes.near]\nurl = "{near.url}"\n{near_keys}\n[tes.far]\nurl = "{far.url}"\n{far_keys}\n')
        with rigged(folder, near, config=file, tes_urls=(), tes_token_file=(), **settings) as rig:
            yield rig, near, far


def route(rig: Rig, task_id: str) -> str | None:
    return rig.stores.tasks.get("run-1", task_id).route


def test_a_server_that_refuses_is_passed_over(open_tmp: Path) -> None:
    with two_servers(open_tmp) as (rig, near, far):
        near.create = [400]
        task_id = rig.post()
        assert rig.wait(task_id)["state"] == "COMPLETE"
        assert len(far.bodies) == 1
        said = "sent to far: the TES near refused the task: HTTP 400: told to answer 400"
        assert route(rig, task_id) == said


def test_a_task_that_all_refuse_ends_with_their_words(open_tmp: Path) -> None:
    with two_servers(open_tmp) as (rig, near, far):
        near.create, far.create = [400], [422]
        document = rig.wait(rig.post())
        assert document["state"] == "SYSTEM_ERROR"
        (line,) = document["logs"][-1]["system_logs"]
        assert "the TES near refused the task: HTTP 400" in line
        assert "the TES far refused the task: HTTP 422" in line


def test_a_server_that_does_not_answer_is_passed_over_and_comes_back(open_tmp: Path) -> None:
    with two_servers(open_tmp) as (rig, near, _far):
        near.down = 503
        for number in range(4):
            assert rig.wait(task_id := rig.post(name=f"s{number}"))["state"] == "COMPLETE"
            assert number or route(rig, task_id) == "sent to far: no answer from near"
        asked = len(near.seen)
        assert rig.wait(task_id := rig.post(name="later"))["state"] == "COMPLETE"
        assert len(near.seen) == asked, "it rests"
        assert route(rig, task_id) == "sent to far: near did not answer of late"
        near.down = None
        rig.gateway._servers._health["near"].rests_until = 0.0
        assert rig.wait(rig.post(name="last"))["state"] == "COMPLETE"
        assert len(near.bodies) == 1


def test_tasks_wait_for_room_longer_than_for_an_answer(open_tmp: Path) -> None:
    one = "max_tasks = 1"
    with two_servers(open_tmp, one, one, tes_patience_seconds=0.5) as (
        rig,
        near,
        far,
    ):
        near.script = far.script = ["RUNNING"]
        first, second = rig.post(name="one"), rig.post(name="two")
        while len(near.bodies) + len(far.bodies) < 2:
            time.sleep(0.01)
        third = rig.post(name="three")
        time.sleep(1.5)
        assert rig.get(third, "MINIMAL")["state"] == "QUEUED"
        near.script = far.script = ["COMPLETE"]
        assert {rig.wait(each)["state"] for each in (first, second, third)} == {"COMPLETE"}


def test_a_task_that_nobody_can_have_names_the_limit(open_tmp: Path) -> None:
    with two_servers(open_tmp, "max_cpu = 2", "max_cpu = 8") as (rig, _near, _far):
        document = rig.wait(rig.post(resources={"cpu_cores": 9}))
        assert document["state"] == "SYSTEM_ERROR"
        said = "no TES can have it: asks 9 cpu, near has at most 2; asks 9 cpu, far has at most 8"
        advice = "The engine parameter max_cpu=8 would lower what steps ask for"
        assert document["logs"][-1]["system_logs"] == [f"{said}. {advice}"]


def test_a_gpu_is_told_to_the_server_that_has_one(open_tmp: Path) -> None:
    with two_servers(open_tmp, far_keys="max_gpu = 1") as (rig, near, far):
        assert rig.wait(rig.post(resources={"backend_parameters": {"gpu": "1", "queue": "x"}}))["state"] == "COMPLETE"
        assert (len(near.bodies), far.bodies[0]["resources"]) == (0, {"backend_parameters": {"gpu": "1"}})
