"""CWL through WES and TES: some of the cases of `tests/integration/engines/test_cwl_cases.py`, which runs all of them.

Those are here in which files and folders of each kind cross the gateway, or in which a run ends in another way. With a
TES of somebody else's (`WES_TEST_TES_URL`) it is all of them. They are submitted at once, as a run waits more than it
works, and then each is awaited and checked.
"""

import json
from collections.abc import Mapping

import pytest

from tests.acceptance.cwl.case import Case, Result, all_cases, check
from tests.acceptance.stack import OTHER_TES, Wes, attachment
from tests.http_client import http

THROUGH_THE_SERVICE = frozenset(
    {
        "a_directory_goes_from_step_to_step",
        "a_failed_step_is_named_with_its_error",
        "a_literal_from_an_expression_reaches_a_tool",
        "a_missing_input_file_is_named",
        "a_part_of_a_packed_document_can_be_named",
        "a_scattered_input_can_be_computed",
        "a_time_limit_ends_the_tool",
        "a_writable_copy_can_be_changed_and_the_original_stays",
        "an_empty_directory_is_made_and_can_be_filled",
        "an_input_can_be_passed_on_as_output",
        "environment_variables_reach_the_tool",
        "names_may_hold_special_characters",
        "secondary_files_follow_their_patterns",
        "stdin_comes_from_a_file",
        "steps_are_linked_in_any_order",
        "versions_are_mixed_in_one_workflow",
    }
)
CASES = [case for case in all_cases() if OTHER_TES or case.id in THROUGH_THE_SERVICE]
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


def test_all_cases_that_are_named_are_there() -> None:
    assert {case.id for case in CASES} >= THROUGH_THE_SERVICE


@pytest.mark.timeout(ENDS_WITHIN + 60)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case, wes: Wes, submitted: Mapping[str, str]) -> None:
    result = result_of(wes, submitted[case.id])
    check(case, result, lambda url: http.get(url).raise_for_status().content)
