"""What Nextflow is told of tasks that end otherwise than by themselves, by a TES that ends them as a test wants."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.integration.engines.nextflow.conftest import NextflowRuns

NO_MEMORY = {"state": "EXECUTOR_ERROR", "logs": [{"system_logs": ["pod ended: OOMKilled"], "logs": []}]}
KILLED = {"state": "EXECUTOR_ERROR", "logs": [{"logs": [{"exit_code": 137}]}]}
FIRST_ENDS: dict[str, dict[str, Any]] = {
    "LOST": {"state": "SYSTEM_ERROR", "logs": [{"system_logs": ["the node is gone"]}]},
    "PREEMPTED": {"state": "PREEMPTED"},
    "NO_MEMORY": NO_MEMORY,
    "KILLED": KILLED,
    "TOO_LONG": {"state": "RUNNING"},
    "BAD": {"state": "EXECUTOR_ERROR", "logs": [{"logs": [{"exit_code": 0}]}]},
}
COMPLETE = {"state": "COMPLETE", "logs": [{"logs": [{"exit_code": 0}]}]}


@dataclass(kw_only=True)
class ScriptedTes:
    """The first attempt of a step ends as `FIRST_ENDS` says, the second is complete. It serves `/reads.fq`, too."""

    url: str = ""
    tasks: list[dict[str, Any]] = field(default_factory=list)

    def end_of(self, number: int) -> dict[str, Any]:
        task = self.tasks[number]
        first = FIRST_ENDS.get(task["name"], COMPLETE) if task["tags"]["wes.attempt"] == "1" else COMPLETE
        return {**first, "id": str(number), "outputs": task["outputs"]}


@pytest.fixture
def scripted_tes() -> Iterator[ScriptedTes]:
    scripted = ScriptedTes()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/reads.fq":
                self._answer(b"ACGT")
            else:
                number = int(re.findall(r"/tasks/(\d+)", self.path)[0])
                self._answer(json.dumps(scripted.end_of(number)).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self.path.endswith(":cancel"):
                scripted.tasks.append(body)
            self._answer(json.dumps({"id": str(len(scripted.tasks) - 1)}).encode())

        def _answer(self, data: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    scripted.url = f"http://127.0.0.1:{server.server_port}"
    yield scripted
    server.shutdown()
    server.server_close()
    thread.join()


STEPS = "".join(f"process {name} {{ script: 'true' }}\n" for name in FIRST_ENDS).replace(
    "TOO_LONG {", "TOO_LONG { time '1s'; conda 'samtools'; containerOptions '--gpus all';"
)
WORKFLOW = f"""\
{STEPS}
process REMOTE {{
  accelerator 2, type: 'nvidia-t4'
  array 2
  input: path reads
  script: "head $reads"
}}
workflow {{
  {"; ".join(f"{name}()" for name in FIRST_ENDS)}
  REMOTE(channel.of(file(params.reads)))
}}
"""
CONFIG = """\
process.errorStrategy = {
  println "$task.process ended with $task.exitStatus"
  task.exitStatus in ((130..145) + 1) ? 'retry' : 'finish'
}
"""


def test_what_a_tes_lost_or_killed_is_tried_again_as_published_pipelines_want_it(
    nextflow_runs: NextflowRuns, scripted_tes: ScriptedTes
) -> None:
    reads = f"{scripted_tes.url}/reads.fq"
    run = nextflow_runs.new(
        WORKFLOW, {"nextflow.config": CONFIG}, params={"reads": reads}, tes_url=f"{scripted_tes.url}/ga4gh/tes/v1"
    ).start()
    run.outputs()
    told = dict(re.findall(r"(\w+) ended with (\d+)", (run.folder.logs / "stdout").read_text()))
    assert told == {
        "LOST": "143",
        "PREEMPTED": "143",
        "NO_MEMORY": "137",
        "KILLED": "137",
        "TOO_LONG": "143",
        "BAD": "1",
    }
    options, conda = json.loads((run.folder.work / ".wes" / "notes.json").read_text())
    assert options == "The process TOO_LONG has containerOptions (--gpus all): a TES can't be told them."
    assert conda.endswith("no container: no environment is made, it runs in the default image.")

    # An input at a URL is the TES's to fetch, and not the engine's.
    [remote] = [task for task in scripted_tes.tasks if task["name"] == "REMOTE (1)"]
    [asked] = [each for each in remote["inputs"] if each["url"] == reads]
    assert asked["path"].startswith(f"{run.folder.work}/.wes/remote/")
    assert asked["path"].endswith("/reads.fq")
    assert list(run.folder.work.rglob("reads.fq")) == []
    assert remote["resources"]["backend_parameters"] == {"gpu": "2", "gpu_type": "nvidia-t4"}
