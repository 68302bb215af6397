from pathlib import Path
from typing import Any

import pytest

from engines.cwl.executor.outcome import Codes, outcome_of, sentence


def view(state: str, exit_code: Any = 0, **log: Any) -> dict[str, Any]:
    return {
        "state": state,
        "logs": [{"logs": [{"exit_code": exit_code, **log}], "system_logs": ["first", "disk lost"]}],
    }


def test_the_last_attempt_and_its_last_executor_count() -> None:
    document = view("EXECUTOR_ERROR", 3)
    document["logs"].insert(0, {"logs": [{"exit_code": 9}]})
    assert outcome_of("t", document).exit_code == 3


@pytest.mark.parametrize(
    ("state", "code", "read"),
    [
        ("COMPLETE", 0, 0),
        ("COMPLETE", "0", 0),
        ("COMPLETE", None, 0),
        ("COMPLETE", 3, 3),
        ("EXECUTOR_ERROR", "7", 7),
        ("EXECUTOR_ERROR", None, 255),
        ("SYSTEM_ERROR", 0, 255),
    ],
)
def test_exit_codes_are_read_with_care(state: str, code: Any, read: int) -> None:
    assert outcome_of("t", view(state, code)).exit_code == read


def test_a_view_without_logs_is_read() -> None:
    outcome = outcome_of("t", {"state": "COMPLETE"})
    assert (outcome.exit_code, outcome.stderr, outcome.out) == (0, "", None)


def test_the_output_folder_is_the_one_of_the_task() -> None:
    outputs = [{"type": "FILE", "url": "file:///x"}, {"type": "DIRECTORY", "url": "file:///run/a%20b/out"}]
    assert outcome_of("t", {**view("COMPLETE"), "outputs": outputs}).out == Path("/run/a b/out")


def test_a_failed_step_is_told_with_code_and_last_lines() -> None:
    outcome = outcome_of("t1", view("EXECUTOR_ERROR", 2, stderr="one\ntwo\n\nthree\nfour\n"))
    assert sentence("align", outcome) == "the step 'align' (task t1) ended with exit code 2: two | three | four"


def test_a_lost_task_is_told_with_the_systems_log() -> None:
    assert sentence("a", outcome_of("t", view("SYSTEM_ERROR"))).endswith("not be run by the TES: first | disk lost")


def test_a_canceled_task_is_told() -> None:
    assert sentence("a", outcome_of("t", view("CANCELED"))) == "the step 'a' (task t) was canceled"


@pytest.mark.parametrize(
    ("codes", "code", "status"),
    [
        (Codes(), 0, "success"),
        (Codes(), 1, "permanentFail"),
        (Codes(success=frozenset({1})), 1, "success"),
        (Codes(temporary=frozenset({75})), 75, "temporaryFail"),
        (Codes(permanent=frozenset({0})), 0, "permanentFail"),
        (Codes(success=frozenset({5}), permanent=frozenset({5})), 5, "success"),
    ],
)
def test_exit_codes_mean_what_the_tool_says(codes: Codes, code: int, status: str) -> None:
    assert codes.status(code) == status
