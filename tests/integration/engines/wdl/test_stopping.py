"""An engine that is stopped leaves no open task, and one that is started again does nothing twice."""

import json
import signal
import time

from tests.engine_fixtures import EngineRun, EngineRuns, Tes
from tests.integration.engines.adopting import adopting
from tests.integration.engines.wdl.test_features import names_of, tasks_of, text

BRANCHES = """
version 1.1
workflow w { scatter (i in range(3)) { call wait } }
task wait { command <<< sleep 600 >>> }
"""


def wait_for_tasks(run: EngineRun, tes: Tes, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(tasks_of(run, tes)) < count:
        if time.monotonic() > deadline:
            run.wait(0)
        time.sleep(0.05)


def test_sigterm_ends_it_within_two_seconds_and_its_tasks_too(wdl_runs: EngineRuns, tes: Tes) -> None:
    run = wdl_runs.new({"main.wdl": BRANCHES}).start()
    wait_for_tasks(run, tes, 3)
    assert run.process is not None
    began = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    end = run.wait()
    assert time.monotonic() - began < 30
    assert end.exit_code == 128 + signal.SIGTERM
    assert {task["state"] for task in tasks_of(run, tes)} <= {"CANCELED", "CANCELING"}


def test_an_engine_that_is_started_again_runs_no_finished_step_twice(wdl_runs: EngineRuns, tes: Tes) -> None:
    document = """
version 1.1
import "sub.wdl" as sub
workflow w {
  File list = write_lines(["x", "y"])
  scatter (n in ["a", "b"]) { call sub.one { input: n = n, list = list } }
  call join { input: files = one.file, said = one.said, more = {"k": 1} }
  output { File all = join.all  File given = list }
}
task join {
  input { Array[File] files  Array[String] said  Map[String, Int] more }
  command <<< cat ~{sep(" ", files)} ~{write_lines(said)} ~{write_json(more)} > all.txt >>>
  output { File all = "all.txt" }
}
"""
    sub = """
version 1.1
workflow one {
  input { String n  File list }
  call make { input: n = n, list = list }
  output { File file = make.file  String said = make.said }
}
task make {
  input { String n  File list }
  command <<< echo ~{n} > n.txt; cat ~{list} ~{write_lines([n])} >>>
  output { File file = "n.txt"  String said = read_string(stdout()) }
}
"""
    with adopting(tes) as url:
        run = wdl_runs.new({"main.wdl": document, "sub.wdl": sub})
        run.tes_url = url
        first = run.start().outputs()
        names = names_of(run, tes)
        again = wdl_runs.new({"main.wdl": document, "sub.wdl": sub}, folder=run.folder)
        again.tes_url = url
        second = again.start().outputs()
    assert names_of(again, tes) == names == ["join", "one.make", "one_2.make"]
    assert first["w.all"] == second["w.all"]
    assert text(second["w.all"]).splitlines()[:2] == ["a", "b"]
    progress = json.loads((run.folder.work / ".wes" / "progress.json").read_text())
    assert progress == {"known": 3, "running": 0, "done": 3, "failed": 0, "cached": 3}
