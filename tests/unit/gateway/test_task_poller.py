"""How a TES is asked for many tasks, and that one whose lists are of no use costs time and nothing else."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.configuration import TesKind
from gateway import task_poller
from gateway.dialects import DIALECTS, Dialect
from gateway.followed_task import FollowedTask, PollingPolicy
from gateway.task_lists import TaskLists
from gateway.task_poller import AT_ONCE, LIVE_LOG_SECONDS, MOST_LIVE, MOST_SINGLY, SILENT_AFTER, TaskPoller
from gateway.tes_client import TaskPage, TesForgot, TesUnreachable
from tes.task import TAG_GATEWAY, Task, TaskState, View

PAGE = 100
OURS = "gateway-1"


@dataclass(kw_only=True)
class FakeTes:
    """A `TesClient` by its methods `get` and `page`: `tasks` are states by id, `tags` the gateways that they name."""

    name: str = "far"
    url: str = "http://far/v1"
    tasks: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    filters_tags: bool = True
    filters_states: bool = True
    hidden: set[str] = field(default_factory=set)
    """Tasks that no list shows."""
    stale: Mapping[str, str] | None = None
    """What lists show in place of `tasks`."""
    endless: bool = False
    lists: bool = True
    is_down: bool = False
    kind: TesKind = "generic"
    gets: list[str] = field(default_factory=list)
    pages: list[tuple[str, str]] = field(default_factory=list)

    async def dialect(self) -> Dialect:
        return DIALECTS[self.kind]

    async def get(self, tes_id: str, _view: View) -> dict[str, Any]:
        self.gets.append(tes_id)
        await asyncio.sleep(0)
        if self.is_down:
            raise TesUnreachable("down")
        if tes_id not in self.tasks:
            raise TesForgot("HTTP 404")
        return {"id": tes_id, "state": self.tasks[tes_id]}

    async def page(self, tag: str, state: TaskState, token: str = "", size: int = PAGE) -> TaskPage:
        self.pages.append((tag, state.value))
        await asyncio.sleep(0)
        if self.is_down or not self.lists:
            raise TesUnreachable("no list")
        shown = [
            (tes_id, known)
            for tes_id, known in (self.stale or self.tasks).items()
            if (not self.filters_tags or not tag or self.tags[tes_id] == tag)
            and (not self.filters_states or known == state)
            and tes_id not in self.hidden
        ]
        begin, size = int(token or 0), min(size, PAGE)
        more = self.endless or begin + size < len(shown)
        return TaskPage(states=dict(shown[begin : begin + size]), next_token=str(begin + size) if more else "")


@dataclass(kw_only=True)
class Rig:
    tes: FakeTes
    poller: TaskPoller
    stack: ExitStack
    tasks: dict[str, FollowedTask] = field(default_factory=dict)

    def watch(self, number: int, state: TaskState = TaskState.RUNNING, tag: str = OURS) -> None:
        for _ in range(number):
            tes_id = f"t{len(self.tes.tasks)}"
            self.tes.tasks[tes_id], self.tes.tags[tes_id] = state.value, tag
            task = Task(
                id=f"our-{tes_id}",
                run_id="r",
                name="step",
                state=state,
                tes_id=tes_id,
                created=datetime.now(UTC),
                body={"tags": {TAG_GATEWAY: tag}},
            )
            self.tasks[tes_id] = FollowedTask(task=task, logs=Path("/logs"))
            self.stack.enter_context(self.poller.watching(self.tasks[tes_id]))

    def others(self, number: int, tag: str = "another", state: str = "RUNNING") -> None:
        for n in range(number):
            self.tes.tasks[f"{tag}-{n}"], self.tes.tags[f"{tag}-{n}"] = state, tag

    @property
    def reported(self) -> dict[str, TaskState | Exception]:
        return {tes_id: one.reported for tes_id, one in self.tasks.items() if one.reported is not None}


@contextmanager
def rigged(**behaviour: Any) -> Iterator[Rig]:
    tes: Any = FakeTes(**behaviour)
    servers: Any = SimpleNamespace(answered=lambda _: None, failed=lambda _: None)
    with ExitStack() as stack:
        poller = TaskPoller(tes, servers, PollingPolicy(longest=15, patience=600), TaskLists(client=tes))
        yield Rig(tes=tes, poller=poller, stack=stack)


@pytest.fixture(autouse=True)
def _no_early_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_poller, "MOST_EARLY", 0)


def rounds(rig: Rig, number: int = 1) -> None:
    async def work() -> None:
        for _ in range(number):
            await rig.poller.look()

    asyncio.run(work())


def test_lists_confirm_what_has_not_changed() -> None:
    with rigged() as rig:
        rig.watch(250)
        rig.watch(50, TaskState.QUEUED)
        rig.others(1000)
        rounds(rig)
        assert rig.reported == {}
        assert rig.tes.pages[1:] == [(OURS, "RUNNING")] * 3 + [(OURS, "QUEUED")]
        assert len(rig.tes.gets) == 1, "the one by which lists are checked"


def test_only_a_single_question_tells_of_a_change() -> None:
    with rigged() as rig:
        rig.watch(50)
        rig.tes.tasks |= {"t3": "COMPLETE", "t4": "EXECUTOR_ERROR"}
        del rig.tes.tasks["t5"]
        rounds(rig)
        assert {tes_id: str(news) for tes_id, news in rig.reported.items()} == {
            "t3": "COMPLETE",
            "t4": "EXECUTOR_ERROR",
            "t5": "HTTP 404",
        }
        assert sorted(rig.tes.gets[:3]) == ["t3", "t4", "t5"]
        rounds(rig)
        assert len(rig.tes.gets) == 5, "what is being acted on is not asked for again"


def test_tasks_that_ended_cost_nothing() -> None:
    with rigged() as rig:
        rig.watch(50)
        rig.others(20_000, tag=OURS, state="COMPLETE")
        rounds(rig, 5)
        assert len(rig.tes.pages) == 1 + 5
        assert len(rig.tes.gets) == 5


def test_few_tasks_are_asked_for_singly() -> None:
    with rigged() as rig:
        rig.watch(2)
        rounds(rig)
        assert (rig.tes.pages, sorted(rig.tes.gets)) == ([], ["t0", "t1"])


def test_tasks_of_a_worker_that_is_gone_are_listed_by_its_tag() -> None:
    with rigged() as rig:
        rig.watch(20)
        rig.watch(20, tag="gateway-0")
        rounds(rig)
        assert (rig.reported, set(rig.tes.pages[1:])) == ({}, {(OURS, "RUNNING"), ("gateway-0", "RUNNING")})


def test_funnel_is_asked_by_state_alone_as_its_lists_by_tag_show_whole_tasks() -> None:
    with rigged(kind="funnel") as rig:
        rig.watch(40)
        rig.others(40)
        rounds(rig)
        assert (rig.reported, rig.tes.pages, len(rig.tes.gets)) == ({}, [("", "RUNNING")], 1)


def test_a_server_that_filters_nothing_is_asked_for_no_list() -> None:
    with rigged(kind="tesk") as rig:
        rig.watch(40)
        rounds(rig)
        assert (rig.tes.pages, len(rig.tes.gets)) == ([], 40)


@pytest.mark.parametrize("behaviour", [{"filters_tags": False}, {"lists": False}])
def test_without_lists_that_are_of_use_tasks_are_asked_for_in_turn(behaviour: dict[str, Any]) -> None:
    with rigged(**behaviour) as rig:
        rig.watch(3 * MOST_SINGLY)
        rig.others(100)
        rounds(rig, 3)
        assert len(rig.tes.pages) == 1
        assert len(rig.tes.gets) == len(set(rig.tes.gets)) == 3 * MOST_SINGLY
        assert rig.reported == {}


def test_a_list_of_all_states_confirms_none_but_those_that_match() -> None:
    with rigged(filters_states=False) as rig:
        rig.watch(30)
        rig.tes.tasks["t7"] = "COMPLETE"
        rounds(rig)
        assert rig.reported == {"t7": TaskState.COMPLETE}


def test_a_list_that_goes_on_with_tasks_of_others_is_left() -> None:
    with rigged(filters_states=False) as rig:
        rig.watch(30)
        rig.others(100_000, tag=OURS, state="COMPLETE")
        rounds(rig, 3)
        assert len(rig.tes.pages) < 15
        assert rig.reported == {}


def test_a_list_without_an_end_is_left() -> None:
    with rigged(endless=True) as rig:
        rig.watch(30)
        rounds(rig, 3)
        assert len(rig.tes.pages) < 15
        assert rig.reported == {}


def test_a_list_that_leaves_tasks_out_loses_none_and_is_not_asked_for_long() -> None:
    with rigged() as rig:
        rig.watch(60)
        rig.tes.hidden = {f"t{n}" for n in range(30)}
        rounds(rig, 2)
        assert rig.reported == {}
        asked = len(rig.tes.pages)
        rig.tes.tasks["t9"] = "COMPLETE"
        rounds(rig, 2)
        assert (rig.reported, len(rig.tes.pages)) == ({"t9": TaskState.COMPLETE}, asked)


def test_a_list_that_is_kept_for_too_long_hides_no_end_for_ever() -> None:
    with rigged() as rig:
        rig.watch(40)
        rig.tes.stale = dict(rig.tes.tasks)
        rig.tes.tasks |= {f"t{n}": "COMPLETE" for n in range(40)}
        rounds(rig, 5)
        assert len(rig.reported) == 40


def test_a_server_that_is_down_is_not_asked_for_every_task_and_each_hears_of_it() -> None:
    with rigged(is_down=True) as rig:
        rig.watch(500)
        rounds(rig)
        assert len(rig.tes.gets) < SILENT_AFTER + AT_ONCE
        assert {str(news) for news in rig.reported.values()} == {"down"}
        assert len(rig.reported) == 500


def test_a_task_that_had_no_answer_hears_of_the_next() -> None:
    with rigged() as rig:
        rig.watch(10)
        rig.tasks["t1"].is_unanswered = True
        rounds(rig)
        assert rig.reported == {"t1": TaskState.RUNNING}


def test_a_task_that_is_young_is_asked_for_often_and_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_poller, "MOST_EARLY", 3)
    with rigged() as rig:

        async def work() -> None:
            rig.watch(10)
            await asyncio.sleep(0.2)
            rig.tes.tasks["t1"] = "COMPLETE"
            async with asyncio.timeout(5):
                await rig.tasks["t1"].woken.wait()

        asyncio.run(work())
        assert set(rig.tes.gets) == {"t0", "t1", "t2"}
        assert rig.reported == {"t1": TaskState.COMPLETE}


def test_rounds_come_soon_after_a_change_and_then_less_often() -> None:
    polling = PollingPolicy(longest=15, patience=600)
    assert [polling.round(quiet, 0.01) for quiet in (0, 10, 100, 1000)] == [0.5, 0.5, 5, 15]
    assert polling.round(0, took=1) == 2, "a long list is not asked for all the time"
    assert polling.round(0, took=1, worked=0.8) == 4, "nor does this process do nothing else"
    assert [polling.round(1000, 0.01, unanswered) for unanswered in (0.1, 4, 100)] == [0.5, 2, 5]
    assert polling.first_looks(0) == 0.03
    assert polling.first_looks(60) == 0.5


def test_logs_of_many_running_tasks_are_shown_in_turn() -> None:
    with rigged() as rig:
        rig.watch(1)
        first = rig.tasks["t0"]
        assert rig.poller.seconds_to_live_log(first) == LIVE_LOG_SECONDS
        rig.watch(39)
        for one in rig.tasks.values():
            rig.poller.seconds_to_live_log(one)
        assert rig.poller.seconds_to_live_log(first) == pytest.approx(LIVE_LOG_SECONDS * 40 / MOST_LIVE)
        first.task = replace(first.task, state=TaskState.QUEUED)
        assert rig.poller.seconds_to_live_log(first) is None
        assert rig.poller.seconds_to_live_log(rig.tasks["t1"]) == pytest.approx(LIVE_LOG_SECONDS * 39 / MOST_LIVE)
