"""What the WDL engine does on a TES that refuses tasks, takes machines away, or fetches files from the web."""

from collections.abc import Iterator

import pytest

from tests.engine_fixtures import EngineRuns
from tests.fakes.tes_server import BadTes, bad_tes
from tests.integration.engines.wdl.test_features import ECHO

ONE = "version 1.1\nworkflow w { call t }\ntask t { command <<< true >>> }"


@pytest.fixture
def bad() -> Iterator[BadTes]:
    with bad_tes() as server:
        yield server


def test_a_preempted_task_is_sent_again_as_often_as_it_allows(wdl_runs: EngineRuns, bad: BadTes) -> None:
    bad.script = ["PREEMPTED", "PREEMPTED", "COMPLETE"]
    document = ONE.replace("true >>>", "true >>>  runtime { preemptible: 1 }")
    run = wdl_runs.new({"main.wdl": document})
    run.tes_url = bad.url
    run.start().outputs()
    assert [body["resources"]["preemptible"] for body in bad.bodies] == [True, False]
    assert [body["tags"]["wes.attempt"] for body in bad.bodies] == ["1", "2"]


def test_a_task_that_the_tes_lost_is_told_as_that(wdl_runs: EngineRuns, bad: BadTes) -> None:
    bad.script = ["SYSTEM_ERROR"]
    run = wdl_runs.new({"main.wdl": ONE})
    run.tes_url = bad.url
    assert "could not be run by the TES" in run.start().reason()
    assert len(bad.bodies) == 1


def test_a_task_that_the_tes_refuses_is_told_with_its_answer(wdl_runs: EngineRuns, bad: BadTes) -> None:
    bad.create = [400]
    run = wdl_runs.new({"main.wdl": ONE})
    run.tes_url = bad.url
    reason = run.start().reason()
    assert reason.startswith("the step 't' failed: could not be sent: the TES refused it (HTTP 400)"), reason


def test_files_on_the_web_are_left_to_the_tes(wdl_runs: EngineRuns, bad: BadTes) -> None:
    url = "https://example.org/ref/genome.fa"
    document = """
version 1.1
workflow w { input { File f  String? name }  call t { input: f = f } }
task t { input { File f }  command <<< cat ~{f} >>> }
"""
    run = wdl_runs.new({"main.wdl": document}, {"w.f": url})
    run.tes_url = bad.url
    run.start().outputs()
    place = "/mnt/wes/wdl/inputs/0/genome.fa"
    assert bad.bodies[0]["inputs"] == [{"type": "FILE", "url": url, "path": place}]
    assert f"cat {place}" in bad.bodies[0]["executors"][0]["command"][-1]


def test_what_the_engine_would_have_to_fetch_is_refused(wdl_runs: EngineRuns, bad: BadTes) -> None:
    document = "version 1.1\nworkflow w { input { File f }  output { String s = read_string(f) } }" + ECHO
    run = wdl_runs.new({"main.wdl": document}, {"w.f": "https://example.org/x.txt"})
    run.tes_url = bad.url
    expected = "main.wdl:2:52: it reads https://example.org/x.txt, but this server gives engines no network; attach"
    assert expected in run.start().reason()
    assert bad.bodies == []
