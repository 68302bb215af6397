"""Five steps in each language: from POST to the first task and to COMPLETE, and the engine's peak memory.

    .venv/bin/python -m tests.bench.engines_bench

Next to each stands the plain engine on the same workflow in the same sandbox, timed in turn. miniwdl alone runs tasks
in containers only, so that it has no such peer here.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from engines.nextflow.recipe import java_of
from tests.acceptance.stack import Wes, attachment
from tests.bench.plain import run_plain
from tests.engine_fixtures import engines_folder, install_for_tests
from wes_service.core.engine import Installation

TURNS = 5
CWL = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {numbers: 'int[]'}
outputs: {files: {type: 'File[]', outputSource: step/file}}
steps:
  step:
    run:
      class: CommandLineTool
      baseCommand: echo
      stdout: $(inputs.number).txt
      inputs: {number: {type: int, inputBinding: {}}}
      outputs: {file: stdout}
    scatter: number
    in: {number: numbers}
    out: [file]
"""
SNAKEFILE = """\
rule all:
    input: expand("{n}.txt", n=range(5))
rule step:
    output: "{n}.txt"
    shell: "echo {wildcards.n} > {output}"
"""
NEXTFLOW = """\
process STEP {
    input: val n
    output: path "${n}.txt"
    script: "echo ${n} > ${n}.txt"
}
workflow { STEP(Channel.of(0, 1, 2, 3, 4)) }
"""
WDL = """\
version 1.0
workflow five {
  scatter (n in range(5)) { call step { input: n = n } }
}
task step {
  input { Int n }
  command { echo ~{n} }
  output { String said = read_string(stdout()) }
}
"""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One engine: how its workflow is submitted, and how the plain engine is called (None: it can't be)."""

    folder_name: str
    name: str
    text: str
    form: dict[str, str]
    plain: Callable[[Installation], list[str]] | None = None


def _cwltool(installation: Installation) -> list[str]:
    python = f"{installation.environment}/bin/python"
    return [python, "-m", "cwltool", "--parallel", "--quiet", "main.cwl", "job.json"]


def _nextflow(installation: Installation) -> list[str]:
    """With the options of our runs, but without our jar, which would take the tasks over."""
    lines = (installation.environment / "java.args").read_text().splitlines()
    options = [line[1:-1] for line in lines if "SharedArchiveFile" not in line]
    place = options.index("-cp") + 1
    options[place] = ":".join(jar for jar in options[place].split(":") if not jar.endswith("/wes-nextflow.jar"))
    java = str(java_of(installation.environment))
    return [java, *options, "nextflow.cli.Launcher", "run", "main.nf", "-ansi-log", "false"]


NUMBERS = '{"numbers": [0, 1, 2, 3, 4]}'
SUBJECTS = (
    Subject(
        folder_name="cwl",
        name="main.cwl",
        text=CWL,
        form={"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_params": NUMBERS},
        plain=lambda it: [
            f"{it.environment}/bin/python",
            "-m",
            "cwltool",
            "--parallel",
            "--quiet",
            "main.cwl",
            "job.json",
        ],
    ),
    Subject(
        folder_name="snakemake",
        name="Snakefile",
        text=SNAKEFILE,
        form={"workflow_type": "SMK", "workflow_type_version": "9"},
        plain=lambda it: [f"{it.environment}/bin/python", "-m", "snakemake", "--cores", "5", "--quiet"],
    ),
    Subject(
        folder_name="nextflow",
        name="main.nf",
        text=NEXTFLOW,
        form={"workflow_type": "NFL", "workflow_type_version": "DSL2"},
        plain=_nextflow,
    ),
    Subject(
        folder_name="wdl",
        name="main.wdl",
        text=WDL,
        form={"workflow_type": "WDL", "workflow_type_version": "1.0"},
    ),
)


def main() -> None:
    installed = {subject.folder_name: install_for_tests(subject.folder_name) for subject in SUBJECTS}
    with tempfile.TemporaryDirectory(prefix="wes-bench-", dir="/var/tmp") as place:
        folder = Path(place)
        folder.chmod(0o755)
        wes = Wes(data=folder / "data", engines=engines_folder()).start()
        try:
            for subject in SUBJECTS:
                measure(wes, subject, installed[subject.folder_name], folder)
        finally:
            wes.stop()


def measure(wes: Wes, subject: Subject, installation: Installation, folder: Path) -> None:
    """Prints one line for the engine; each figure is the median of `TURNS`."""
    first, whole, plain, memory = [], [], [], []
    for _ in range(TURNS):
        if subject.plain is not None:
            plain.append(_plain_seconds(subject, installation, folder))
        times, peak = one_run(wes, subject)
        first.append(times[0])
        whole.append(times[1])
        memory.append(peak)
    ours = statistics.median(whole)
    told = f"{subject.folder_name:10} first task {statistics.median(first):5.2f} s   COMPLETE {ours:5.2f} s   "
    told += f"engine {statistics.median(memory):4.0f} MB"
    if plain:
        peer = statistics.median(plain)
        told += f"   plain {peer:5.2f} s   ratio {ours / peer:4.2f}"
    print(told)


def one_run(wes: Wes, subject: Subject) -> tuple[tuple[float, float], float]:
    """Seconds to the first task and to COMPLETE; the peak of the engine's resident memory in MB."""
    began = time.perf_counter()
    run_id = wes.submit({**subject.form, "workflow_url": subject.name}, [attachment(subject.name, subject.text)])
    watch = MemoryWatch(wes, run_id)
    first = None
    while (state := wes.state(run_id)) not in {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR"}:
        if first is None and _has_task(wes.get(f"/runs/{run_id}/tasks")):
            first = time.perf_counter() - began
        time.sleep(0.02)
    whole = time.perf_counter() - began
    assert state == "COMPLETE", wes.get(f"/runs/{run_id}")
    return (whole if first is None else first, whole), watch.end()


class MemoryWatch:
    """Looks at the processes of one run's engine every 50 ms."""

    def __init__(self, wes: Wes, run_id: str) -> None:
        self._worker = wes.child("worker")
        self._run_id = run_id
        self._peak = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> float:
        self._over.set()
        self._thread.join()
        return self._peak

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self._peak = max(self._peak, sum(self._resident(p) for p in self._worker.children(recursive=True)) / 1e6)

    @staticmethod
    def _resident(process: psutil.Process) -> float:
        try:
            return float(process.memory_info().rss)
        except psutil.Error:
            return 0.0


def _plain_seconds(subject: Subject, installation: Installation, folder: Path) -> float:
    assert subject.plain is not None
    files = {subject.name: subject.text, "job.json": NUMBERS}
    variables = {"NXF_HOME": "/tmp/nxf", "NXF_OFFLINE": "true", "NXF_PLUGINS_DIR": "/tmp/plugins"}
    command = subject.plain(installation)
    began = time.perf_counter()
    run_plain(installation, command, files, folder, variables)
    return time.perf_counter() - began


def _has_task(page: Any) -> bool:
    return bool(page["task_logs"])


if __name__ == "__main__":
    main()
