"""CWL on a TES: the situations that the standard's required tests look at, in cases of this project's own.

Each is a run of the executor; some of them run through the whole service as well (`tests/acceptance/cwl`).
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import quote

import pytest

from common.location import file_path_of
from tests.acceptance.cwl.case import WORKFLOW, Case, Result, all_cases, check
from tests.engine_fixtures import EngineRuns, Tes

CASES = all_cases()
LEAST = 100
AT_ONCE = 4


def result_of(case: Case, runs: EngineRuns) -> tuple[Result, str]:
    """How the case ends, and the URL of the folder that its tasks wrote to."""
    run = runs.new(case.attachments, case.params, workflow=WORKFLOW, fragment=case.fragment).start()
    end = run.wait()
    good = end.exit_code == 0
    result = Result(
        outputs=run.engine.outputs(run.folder) if good else None,
        reason="" if good else run.engine.diagnose(run.folder, end),
        tasks=(),
    )
    return result, f"file://{quote(str(run.folder.root))}/"


@pytest.fixture(scope="module")
def results(cwl_runs: EngineRuns) -> Iterator[Mapping[str, "Future[tuple[Result, str]]"]]:
    """All are begun at once, a few at a time, as a run waits more than it works."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {case.id: pool.submit(result_of, case, cwl_runs) for case in CASES}


def content(url: str) -> bytes:
    path = file_path_of(url)
    assert path is not None
    return path.read_bytes()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case, results: Mapping[str, "Future[tuple[Result, str]]"], tes: Tes) -> None:
    result, folder = results[case.id].result()
    if case.tasks is not None:
        found = [task["name"] for task in tes.tasks() if task["outputs"][0]["url"].startswith(folder)]
        result = Result(outputs=result.outputs, reason=result.reason, tasks=found)
    check(case, result, content)


def test_there_are_at_least_as_many_cases_as_promised() -> None:
    assert len(CASES) >= LEAST


def test_the_workflow_file_is_the_first_attachment_of_every_case() -> None:
    assert {next(iter(case.attachments)) for case in CASES} == {WORKFLOW}
