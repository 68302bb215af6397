"""`make chaos` in small, and what would fail it."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.stack import embedded_only
from tests.chaos.__main__ import try_out
from tests.chaos.sites import OneMachine
from tests.chaos.trial import Ended, Kill, Plan, Submitted, Trial
from tests.chaos.verdict import TesRecord, judge
from tests.chaos.workflows import STEPS, WORKFLOWS
from tests.engine_fixtures import install_for_tests

PLAN = Plan(seed=3, runs=4, seconds=30, every=4, engines=["cwl", "wdl"])


@embedded_only
@pytest.mark.timeout(1200)
def test_no_run_is_lost_and_no_step_is_doubled_while_programs_are_killed() -> None:
    for engine in PLAN.engines:
        install_for_tests(engine)
    verdict = try_out(PLAN, None)
    assert verdict.problems == [], verdict.table()
    assert len(verdict.kills) >= 4, verdict.table()


def a_run(word: str, state: str = "COMPLETE", text: str | None = None) -> Ended:
    """Killed once and taken over after 4 seconds."""
    log = {"state": state, "run_log": {"system_logs": ["why"]}}
    reason = "The worker w1 was lost (killed, or its machine went down); the worker w2 goes on with the run, attempt 2."
    return Ended(
        submitted=Submitted(run_id=f"run-{word}", workflow=WORKFLOWS["cwl"], word=word),
        log=log,
        events=[{"time": "2026-01-01T00:00:04Z", "state": "RUNNING", "reason": reason}],
        outputs={"report.txt": f"{word if text is None else text} 1\n".encode()},
    )


def records(run: Ended, *more: str) -> list[TesRecord]:
    keys = [*(f"step-{number}" for number in range(STEPS)), *more]
    return [TesRecord(run_id=run.submitted.run_id, key=key, state="COMPLETE", again=0) for key in keys]


@pytest.mark.parametrize(
    ("run", "more", "left", "problem"),
    [
        (a_run("x"), [], [], None),
        (a_run("x", state="SYSTEM_ERROR"), [], [], "run-x (cwl): SYSTEM_ERROR: ['why']"),
        (a_run("x", text="y"), [], [], "its outputs are"),
        (a_run("x"), ["step-1"], [], "run-x: step step-1 was given to the TES 2 times"),
        (a_run("x"), ["step-9"], [], "run-x: 5 steps, not 4"),
        (a_run("x"), [], ["left: gw.sock"], "left: gw.sock"),
    ],
)
def test_what_is_wrong_is_told(run: Ended, more: list[str], left: list[str], problem: str | None) -> None:
    calm = a_run("calm")
    began = datetime(2026, 1, 1, tzinfo=UTC)
    kills = [Kill(kind="worker", time=began), Kill(kind="api", time=began + timedelta(seconds=3))]
    trial = Trial(plan=PLAN, site=OneMachine.__new__(OneMachine), kills=kills, calm={"cwl": calm}, disturbed=[run])
    verdict = judge(trial, [*records(calm), *records(run, *more)], left)
    assert bool(verdict.problems) is bool(problem)
    assert (problem or "") in "".join(verdict.problems)
    assert verdict.take_overs == [4.0]
    assert ("PROBLEM" in verdict.table()) is bool(problem)
