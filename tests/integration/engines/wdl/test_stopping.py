"""An engine that is stopped leaves no open task, and one that is started again does nothing twice."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpx

from tests.engine_fixtures import EngineRun, EngineRuns, Tes
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


JSON = {"Content-Type": "application/json"}


class Adopting(BaseHTTPRequestHandler):
    """Before a TES: answers a step that it knows with the task that there is, as the gateway does."""

    url: ClassVar[str]
    known: ClassVar[dict[str, str]]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass_on(httpx.get(self.url + self.path, timeout=30))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = json.loads(body).get("tags", {}).get("wes.step_key", "")
        if key in self.known:
            self._answer(200, json.dumps({"id": self.known[key]}).encode())
            return
        answer = httpx.post(self.url + self.path, content=body, headers=JSON, timeout=30)
        if key:
            self.known[key] = answer.json()["id"]
        self._pass_on(answer)

    def _pass_on(self, answer: httpx.Response) -> None:
        self._answer(answer.status_code, answer.content)

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def adopting(tes: Tes) -> Iterator[str]:
    handler = type("Handler", (Adopting,), {"url": tes.url.removesuffix("/ga4gh/tes/v1"), "known": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/ga4gh/tes/v1"
        finally:
            server.shutdown()
            thread.join()


def test_an_engine_that_is_started_again_runs_no_finished_step_twice(wdl_runs: EngineRuns, tes: Tes) -> None:
    document = """
version 1.1
workflow w {
  File list = write_lines(["x", "y"])
  scatter (n in ["a", "b"]) { call make { input: n = n, list = list } }
  call join { input: files = make.file, said = make.said, more = {"k": 1} }
  output { File all = join.all }
}
task make {
  input { String n  File list }
  command <<< echo ~{n} > n.txt; cat ~{list} ~{write_lines([n])} >>>
  output { File file = "n.txt"  String said = read_string(stdout()) }
}
task join {
  input { Array[File] files  Array[String] said  Map[String, Int] more }
  command <<< cat ~{sep(" ", files)} ~{write_lines(said)} ~{write_json(more)} > all.txt >>>
  output { File all = "all.txt" }
}
"""
    with adopting(tes) as url:
        run = wdl_runs.new({"main.wdl": document})
        run.tes_url = url
        first = run.start().outputs()
        names = names_of(run, tes)
        again = wdl_runs.new({"main.wdl": document}, folder=run.folder)
        again.tes_url = url
        second = again.start().outputs()
    assert names_of(again, tes) == names == ["join", "make", "make_2"]
    assert first == second
    assert text(second["w.all"]).splitlines()[:2] == ["a", "b"]
    progress = json.loads((run.folder.work / ".wes" / "progress.json").read_text())
    assert progress == {"known": 3, "running": 0, "done": 3, "failed": 0, "cached": 3}
