"""From a run to an engine's job."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.errors import DiskFull, EngineError
from gateway.task_reuse import ReuseScope
from tests.integration.workers.conftest import a_run
from wes_service.storage.run_folders import check_disk
from workers.run.prepare import check_tes_choice, reuse_scope, staged_params, time_limit

ROOT = Path("/data/runs/r1/attachments")


def test_files_among_the_attachments_are_named_where_they_were_staged() -> None:
    params: dict[str, Any] = {
        "reads": [{"class": "File", "location": "reads/a b.fq", "format": "x"}, {"class": "File", "path": "./g.fa"}],
        "folder": {"class": "Directory", "path": "reads"},
        "record": {"inner": {"class": "File", "path": "g.fa", "secondaryFiles": [{"class": "File", "path": "g.fai"}]}},
    }
    staged: Any = staged_params(params, ROOT, ["reads/a b.fq", "g.fa", "g.fai"])
    assert staged["reads"][0] == {"class": "File", "location": f"file://{ROOT}/reads/a%20b.fq", "format": "x"}
    assert staged["reads"][1] == {"class": "File", "location": f"file://{ROOT}/g.fa"}
    assert staged["folder"] == {"class": "Directory", "location": f"file://{ROOT}/reads"}
    inner = staged["record"]["inner"]
    assert inner["secondaryFiles"][0]["location"] == f"file://{ROOT}/g.fai"


def test_everything_else_stays_as_it_is() -> None:
    params: dict[str, Any] = {
        "name": "g.fa",
        "remote": {"class": "File", "location": "https://example.org/g.fa"},
        "unknown": {"class": "File", "path": "other.fa"},
        "n": [1, None, True, 2.5],
    }
    assert staged_params(params, ROOT, ["g.fa"]) == params


def test_a_run_that_asks_for_a_tes_that_this_worker_does_not_have_can_not_be_done() -> None:
    run = a_run("r1")
    run = replace(run, request=replace(run.request, workflow_engine_parameters={"tes": "moon", "parallel": "2"}))
    check_tes_choice(run, ("moon",))
    with pytest.raises(EngineError, match="there is no TES 'moon' here; there is near"):
        check_tes_choice(run, ("near",))


@pytest.mark.parametrize(
    ("asked", "most", "seconds", "setting"),
    [
        ("90min", "12h", 5400, "max_time of the run"),
        ("2d", "12h", 43200, "WES_MAX_RUN_TIME"),
        ("", "12h", 43200, "WES_MAX_RUN_TIME"),
        ("5s", "", 5, "max_time of the run"),
    ],
)
def test_the_shorter_of_two_longest_times_counts(asked: str, most: str, seconds: float, setting: str) -> None:
    run = a_run("r1")
    run = replace(run, request=replace(run.request, workflow_engine_parameters={"max_time": asked}))
    limit = time_limit(run, most)
    assert limit is not None
    assert (limit.seconds, limit.setting) == (seconds, setting)


def test_a_run_may_take_any_time_where_nothing_is_said() -> None:
    assert time_limit(a_run("r1"), "") is None


@pytest.mark.parametrize(
    ("asked", "default", "scope"),
    [
        (None, False, ReuseScope(runs=("r0",))),
        (None, True, ReuseScope(runs=("r0",), any_run=True)),
        ("true", False, ReuseScope(runs=("r0",), any_run=True)),
        ("false", True, ReuseScope()),
    ],
)
def test_a_run_takes_the_steps_of_those_that_it_names(asked: str | None, default: bool, scope: ReuseScope) -> None:
    run = a_run("r1")
    parameters = {} if asked is None else {"reuse": asked}
    run = replace(run, request=replace(run.request, workflow_engine_parameters=parameters))
    assert reuse_scope(run, ["r0"], default) == scope
    assert scope.is_empty is (asked == "false")


def test_a_full_disk_says_how_much_there_is_and_what_to_do(tmp_path: Path) -> None:
    check_disk(tmp_path / "not" / "made yet", 0)
    with pytest.raises(DiskFull, match=r"GB are free in .* free some disk"):
        check_disk(tmp_path, 1e9)
