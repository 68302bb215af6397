"""What a user is told of failures that were recorded from a real Snakemake."""

import json
from pathlib import Path
from typing import Any

import pytest

from engines.snakemake.executor.failure import explained
from tests.integration.engines.snakemake.failing_workflows import FAILING

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("recorded_failures.json").read_text())
WITH_ERROR = [name for name, each in RECORDED.items() if each["error"]]
KINDS = {"SyntaxError": SyntaxError, "OSError": OSError, "Exception": Exception}


def as_raised(record: Any) -> BaseException:
    """An error that says what the recorded one said."""
    kind = KINDS[record["kind"]]
    fields = {"__module__": record["module"], "__str__": lambda _: record["message"]}
    error: BaseException = type(record["type"], (kind,), fields)()
    for name, value in record["fields"].items():
        setattr(error, name, value)
    error._include = [as_raised(inner) for inner in record["include"]]  # type: ignore[attr-defined]
    return error


def places(record: Any) -> dict[str, Any]:
    found = {record["message"]: record["origin"]}
    for inner in record["include"]:
        found.update(places(inner))
    return found


def test_all_workflows_that_can_not_run_are_recorded() -> None:
    assert set(RECORDED) == set(FAILING)
    assert len(WITH_ERROR) >= 10


@pytest.mark.parametrize("name", WITH_ERROR)
def test_the_sentence_names_the_cause_and_its_place(name: str) -> None:
    record = RECORDED[name]["error"]
    origins = places(record)
    linemaps = {file: {int(line): own for line, own in lines.items()} for file, lines in record["linemaps"].items()}
    told = explained(as_raised(record), linemaps, lambda error, _: origins.get(str(error)))
    assert FAILING[name].told in told
    assert RECORDED[name]["sentence"] == f"the workflow failed: {told}"
