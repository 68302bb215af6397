"""Five steps in each language: from POST to the first task and to COMPLETE, and the peak memory of the engine.

    .venv/bin/python -m tests.bench.engines_bench

Next to each stands the plain engine on the same workflow in the same sandbox, timed in turn, with its own peak memory
(its steps are in it). Nextflow is there twice: as it comes, and with an archive of its classes like ours. miniwdl
alone runs tasks in containers only, so that it has no such peer here.
"""

import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.engine import Installation
from engines.nextflow.recipe import java_of
from tests.acceptance.stack import Wes, attachment
from tests.bench.plain import PlainRun, resident, run_plain
from tests.engine_fixtures import engines_folder, install_for_tests

TURNS = 5
VARIABLES = {"NXF_HOME": "/tmp/nxf", "NXF_OFFLINE": "true", "NXF_PLUGINS_DIR": "/tmp/plugins"}
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
    """One engine: how its workflow is submitted, and how the plain engine is called, by name; where it can be.

    The second argument of a call is a folder that it can read.
    """

    folder_name: str
    name: str
    text: str
    form: dict[str, str]
    plain: Mapping[str, Callable[[Installation, Path], list[str]]] = field(default_factory=dict)


def _cwltool(installation: Installation, _: Path) -> list[str]:
    python = f"{installation.environment}/bin/python"
    return [python, "-m", "cwltool", "--parallel", "--quiet", "main.cwl", "job.json"]


def _snakemake(installation: Installation, _: Path) -> list[str]:
    return [f"{installation.environment}/bin/python", "-m", "snakemake", "--cores", "5", "--quiet"]


def _nextflow(installation: Installation, _: Path, *options: str) -> list[str]:
    """With the options of our runs, but without our jar, which would take the tasks over."""
    lines = (installation.environment / "java.args").read_text().splitlines()
    ours = [line[1:-1] for line in lines if "SharedArchiveFile" not in line]
    place = ours.index("-cp") + 1
    ours[place] = ":".join(jar for jar in ours[place].split(":") if not jar.endswith("/wes-nextflow.jar"))
    java = str(java_of(installation.environment))
    return [java, *ours, *options, "nextflow.cli.Launcher", "run", "main.nf", "-ansi-log", "false"]


def _archived_nextflow(installation: Installation, folder: Path) -> list[str]:
    """The archive is made by the first call, from the same workflow."""
    archive = folder / "plain.jsa"
    if not archive.exists():
        command = _nextflow(installation, folder, "-XX:ArchiveClassesAtExit=made.jsa")
        made = run_plain(installation, command, {"main.nf": NEXTFLOW}, folder, VARIABLES).work / "made.jsa"
        shutil.copyfile(made, archive)
    return _nextflow(installation, folder, f"-XX:SharedArchiveFile={archive}")


NUMBERS = '{"numbers": [0, 1, 2, 3, 4]}'
SUBJECTS = (
    Subject(
        folder_name="cwl",
        name="main.cwl",
        text=CWL,
        form={"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_params": NUMBERS},
        plain={"plain": _cwltool},
    ),
    Subject(
        folder_name="snakemake",
        name="Snakefile",
        text=SNAKEFILE,
        form={"workflow_type": "SMK", "workflow_type_version": "9"},
        plain={"plain": _snakemake},
    ),
    Subject(
        folder_name="nextflow",
        name="main.nf",
        text=NEXTFLOW,
        form={"workflow_type": "NFL", "workflow_type_version": "DSL2"},
        plain={"plain": _nextflow, "with archive": _archived_nextflow},
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
    first, whole, memory = [], [], []
    peers: dict[str, list[PlainRun]] = {name: [] for name in subject.plain}
    for _ in range(TURNS):
        for name, runs in peers.items():
            runs.append(_plain(subject, name, installation, folder))
        times, peak = one_run(wes, subject)
        first.append(times[0])
        whole.append(times[1])
        memory.append(peak)
    ours = statistics.median(whole)
    told = f"{subject.folder_name:10} first task {statistics.median(first):5.2f} s   COMPLETE {ours:5.2f} s   "
    told += f"engine {statistics.median(memory):4.0f} MB"
    for name, runs in peers.items():
        peer = statistics.median(run.seconds for run in runs)
        size = statistics.median(run.memory for run in runs)
        told += f"   {name} {peer:5.2f} s {size:4.0f} MB ratio {ours / peer:4.2f}"
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
            self._peak = max(self._peak, sum(resident(process) for process in self._worker.children(recursive=True)))


def _plain(subject: Subject, name: str, installation: Installation, folder: Path) -> PlainRun:
    files = {subject.name: subject.text, "job.json": NUMBERS}
    return run_plain(installation, subject.plain[name](installation, folder), files, folder, VARIABLES)


def _has_task(page: Any) -> bool:
    return bool(page["task_logs"])


if __name__ == "__main__":
    main()
