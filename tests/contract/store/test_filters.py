"""Pages of runs by filters: the same runs, in the same order, from every implementation."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.store.stores import ANN, BOB, NOON, Stores, a_run, lease_of
from wes_service.core.run import EVERY_RUN, Owner, Run, RunFilter, RunState

FAILED, COMPLETE, CANCELED = RunState.EXECUTOR_ERROR, RunState.COMPLETE, RunState.CANCELED
ENGINES = {"cwltool": ("3.1",), "snakemake": ("9",), "nextflow": ("25",)}


def tagged(number: int, tags: Mapping[str, str], owner: Owner = ANN, *, engine: str = "cwltool") -> Run:
    run = a_run(number, owner, engine=engine)
    return replace(run, request=replace(run.request, tags=tags))


def put(stores: Stores, run: Run, state: RunState = RunState.QUEUED) -> None:
    """Stores the run and takes it to `state`; nothing else is queued then."""
    stores.runs.add(run, None)
    if state is CANCELED:
        stores.runs.cancel(run.owner, run.id)
    elif state is not RunState.QUEUED:
        taken = stores.runs.claim("w1", ENGINES)
        assert taken is not None
        stores.runs.move(lease_of(taken), RunState.RUNNING)
        stores.runs.move(lease_of(taken), state)


def found(stores: Stores, size: int = 3, owner: Owner = ANN, **wanted: object) -> list[int]:
    """The numbers of the runs in order; every page but the last must be full, and none but the first empty."""
    runs: list[str] = []
    after = None
    while True:
        page = stores.runs.page(owner, size, after, RunFilter(**wanted))  # type: ignore[arg-type]
        assert len(page.items) == size or page.next is None
        assert page.items or after is None
        runs += [run.id for run in page.items]
        after = page.next
        if after is None:
            return [int(run_id.removeprefix("run-")) for run_id in runs]


def texts(*tags: str) -> frozenset[str]:
    return frozenset(tags)


def test_runs_of_several_states_come_in_one_order(stores: Stores) -> None:
    for number, state in enumerate([FAILED, COMPLETE, CANCELED, COMPLETE, FAILED, CANCELED, FAILED]):
        put(stores, a_run(number), state)
    assert found(stores, states=frozenset({FAILED})) == [6, 4, 0]
    assert found(stores, states=frozenset({FAILED, CANCELED})) == [6, 5, 4, 2, 0]
    assert found(stores, states=frozenset({RunState.PAUSED})) == []


def test_a_run_is_listed_under_the_state_that_it_has_now(stores: Stores) -> None:
    put(stores, a_run(1), RunState.QUEUED)
    assert found(stores, states=frozenset({RunState.QUEUED})) == [1]
    stores.runs.cancel(ANN, a_run(1).id)
    assert found(stores, states=frozenset({RunState.QUEUED})) == []
    assert found(stores, states=frozenset({CANCELED})) == [1]


def test_runs_of_several_engines_come_in_one_order(stores: Stores) -> None:
    for number, engine in enumerate(["cwltool", "snakemake", "nextflow", "cwltool", "nextflow"]):
        put(stores, a_run(number, engine=engine))
    assert found(stores, engines=frozenset({"nextflow"})) == [4, 2]
    assert found(stores, engines=frozenset({"nextflow", "cwltool"})) == [4, 3, 2, 0]
    assert found(stores, engines=frozenset({"miniwdl"})) == []


def test_all_tags_must_be_there(stores: Stores) -> None:
    put(stores, tagged(1, {"batch": "7", "sample": "a"}))
    put(stores, tagged(2, {"batch": "7", "sample": "b"}))
    put(stores, tagged(3, {"batch": "8", "sample": "a"}))
    put(stores, tagged(4, {}))
    assert found(stores, tags=texts("batch:7")) == [2, 1]
    assert found(stores, tags=texts("batch:7", "sample:a")) == [1]
    assert found(stores, tags=texts("batch:7", "batch:8")) == []
    assert found(stores, tags=texts("batch:")) == []


def test_a_tag_is_found_whatever_it_holds(stores: Stores) -> None:
    odd = {"a:b": "c", "": "empty", "ü☃": "%_'\\", "long": "x" * 10_000, "none": ""}
    put(stores, tagged(1, odd))
    put(stores, tagged(2, {"a": "b:c"}))
    assert found(stores, tags=texts("a:b:c")) == [2, 1]
    for text in (":empty", "ü☃:%_'\\", "long:" + "x" * 10_000, "none:"):
        assert found(stores, tags=texts(text)) == [1]
    assert found(stores, tags=texts("long:" + "x" * 9_999)) == []


def test_a_run_with_one_text_for_two_tags_is_stored_and_found_once(stores: Stores) -> None:
    put(stores, tagged(1, {"a:b": "c", "a": "b:c"}))
    assert found(stores, tags=texts("a:b:c")) == [1]


def test_times_begin_with_since_and_end_before_until(stores: Stores) -> None:
    for number in range(5):
        put(stores, a_run(number))
    second = timedelta(seconds=1)
    assert found(stores, since=NOON + second) == [4, 3, 2, 1]
    assert found(stores, since=NOON + second + timedelta(microseconds=1)) == [4, 3, 2]
    assert found(stores, until=NOON + 2 * second) == [1, 0]
    assert found(stores, since=NOON + second, until=NOON + 3 * second) == [2, 1]
    assert found(stores, since=NOON + second, until=NOON + second) == []


@pytest.mark.parametrize(
    "text", ["main", "LIGN/MAIN.CWL".casefold(), "sample:na12", "ple:na", "run-000001", "run-00000"]
)
def test_a_search_finds_by_the_beginning_of_the_id_and_by_parts_of_url_and_tags(stores: Stores, text: str) -> None:
    run = tagged(1, {"Sample": "NA12878", "note": "ü☃"})
    put(stores, replace(run, request=replace(run.request, workflow_url="https://h/Align/Main.cwl#x")))
    put(stores, replace(tagged(2_000_000, {}), request=replace(run.request, workflow_url="other.cwl", tags={})))
    assert found(stores, search=text) == [1]


@pytest.mark.parametrize("text", ["un-000001", "a%", "m_in", "main.cwl\\", "1.5", "\0", "naïve", "cwltool"])
def test_a_search_takes_no_wildcards_and_looks_nowhere_else(stores: Stores, text: str) -> None:
    put(stores, a_run(1))
    assert found(stores, search=text) == []


def test_a_search_finds_letters_of_any_language_in_any_case(stores: Stores) -> None:
    put(stores, tagged(1, {"Straße": "ÜBER"}))
    assert found(stores, search="STRASSE:über".casefold()) == [1]


def test_filters_show_nothing_of_another(stores: Stores) -> None:
    put(stores, tagged(1, {"a": "b"}, BOB), FAILED)
    for wanted in ({"states": frozenset({FAILED})}, {"tags": texts("a:b")}, {"engines": frozenset({"cwltool"})}):
        assert found(stores, **wanted) == []
        assert found(stores, owner=BOB, **wanted) == [1]
    assert found(stores, search="main") == []


@pytest.mark.parametrize("seed", range(8))
def test_any_filter_finds_what_its_definition_says(stores: Stores, seed: int) -> None:
    dice = random.Random(seed)
    runs = []
    for number in range(30):
        tags = {key: dice.choice("xyz") for key in dice.sample(["a", "b", "c"], dice.randint(0, 3))}
        run = tagged(number, tags, engine=dice.choice(list(ENGINES)))
        run = replace(run, created=NOON + timedelta(seconds=dice.randint(0, 9)))
        put(stores, run, dice.choice([FAILED, COMPLETE, CANCELED]))
        runs.append(stores.runs.get(ANN, run.id))
    for _ in range(30):
        wanted = _any_filter(dice)
        expected = sorted((run for run in runs if wanted.matches(run)), key=lambda run: (run.created, run.id))[::-1]
        assert found(stores, dice.randint(1, 7), **vars(wanted)) == [int(run.id[-6:]) for run in expected]


def _any_filter(dice: random.Random) -> RunFilter:
    wanted = RunFilter(
        states=frozenset(dice.sample([FAILED, COMPLETE, CANCELED], dice.randint(0, 2))),
        engines=frozenset(dice.sample(list(ENGINES), dice.randint(0, 2))),
        tags=frozenset(f"{key}:{dice.choice('xyz')}" for key in dice.sample(["a", "b", "c"], dice.randint(0, 2))),
        since=dice.choice([None, NOON + timedelta(seconds=3)]),
        until=dice.choice([None, NOON + timedelta(seconds=7)]),
        search=dice.choice(["", "", "main", "a:x", "run-00001"]),
    )
    assert (wanted == EVERY_RUN) == (wanted.digest == "")
    return wanted
