"""CWL through WES and TES: the situations that the standard's required tests look at, in cases of this project's own.

All cases are submitted at once, as a run waits more than it works, and then each is awaited and checked.
"""

import json
from collections.abc import Mapping

import pytest

from tests.acceptance.cwl.case import WORKFLOW, Case, Result, all_cases, check
from tests.acceptance.stack import Wes, attachment
from tests.http_client import http

CASES = all_cases()
LEAST = 40
ENDS_WITHIN = 600.0


def submit(wes: Wes, case: Case) -> str:
    """The id of the case's run."""
    form = {
        "workflow_type": "CWL",
        "workflow_type_version": case.version,
        "workflow_url": case.workflow_url,
        "workflow_params": json.dumps(case.params),
        "tags": json.dumps({"case": case.id}),
    }
    return wes.submit(form, [attachment(name, text) for name, text in case.attachments.items()])


def result_of(wes: Wes, run_id: str) -> Result:
    log = wes.wait(run_id, seconds=ENDS_WITHIN)
    tasks = wes.get(f"/runs/{run_id}/tasks?page_size=1000")["task_logs"]
    assert log["state"] in {"COMPLETE", "EXECUTOR_ERROR"}, log
    return Result(
        outputs=log["outputs"] if log["state"] == "COMPLETE" else None,
        reason="\n".join(log["run_log"].get("system_logs", [])),
        tasks=[task["name"] for task in tasks],
    )


@pytest.fixture(scope="session")
def submitted(wes: Wes) -> Mapping[str, str]:
    return {case.id: submit(wes, case) for case in CASES}


def test_there_are_at_least_as_many_cases_as_promised() -> None:
    assert len(CASES) >= LEAST


@pytest.mark.timeout(ENDS_WITHIN + 60)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case, wes: Wes, submitted: Mapping[str, str]) -> None:
    result = result_of(wes, submitted[case.id])
    check(case, result, lambda url: http.get(url).raise_for_status().content)


def test_the_workflow_file_is_the_first_attachment_of_every_case() -> None:
    assert {next(iter(case.attachments)) for case in CASES} == {WORKFLOW}
