"""Workflows of each language whose step, or whose engine, takes all that it can get of one thing."""

import json
from collections.abc import Callable

from tests.acceptance.attacks.hostile import PROGRAMS, Submission, submission

GREEDY = (PROGRAMS / "greedy.sh").read_text()
KINDS = ("forks", "memory", "disk", "log")
MORE_KINDS = ("memories", "files")
"""The same by many processes, and by many files."""
RAM_MB = 300
DISK_MB = 1000


def cwl(kind: str, mark: str, image: str) -> Submission:
    document = {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "requirements": {
            "DockerRequirement": {"dockerPull": image},
            "ResourceRequirement": {"ramMin": RAM_MB, "outdirMin": DISK_MB, "tmpdirMin": 0},
        },
        "baseCommand": "sh",
        "arguments": [{"position": 2, "valueFrom": kind}, {"position": 3, "valueFrom": mark}],
        "inputs": {"script": {"type": "File", "inputBinding": {"position": 1}}},
        "outputs": {},
    }
    params = {"script": {"class": "File", "location": "greedy.sh"}}
    files = {"main.cwl": json.dumps(document), "greedy.sh": GREEDY}
    return submission(("CWL", "v1.2", "main.cwl"), files, workflow_params=json.dumps(params))


def snakemake(kind: str, mark: str, image: str) -> Submission:
    snakefile = f"""
rule all:
    input: "done"
rule step:
    input: "greedy.sh"
    output: "done"
    container: "docker://{image}"
    resources: mem_mb={RAM_MB}, disk_mb={DISK_MB}
    shell: "sh greedy.sh {kind} {mark}; code=$?; touch done; exit $code"
"""
    return submission(("SMK", "9", "Snakefile"), {"Snakefile": snakefile, "greedy.sh": GREEDY})


def nextflow(kind: str, mark: str, image: str) -> Submission:
    script = f"""
process STEP {{
  container '{image}'
  memory '{RAM_MB} MB'
  disk '{DISK_MB} MB'
  input: path script
  script: "sh $script {kind} {mark}"
}}
workflow {{ STEP(file("${{projectDir}}/greedy.sh")) }}
"""
    return submission(("NFL", "DSL2", "main.nf"), {"main.nf": script, "greedy.sh": GREEDY})


def wdl(kind: str, mark: str, image: str) -> Submission:
    document = f"""
version 1.1
task step {{
  input {{ File script }}
  command <<< sh ~{{script}} {kind} {mark} >>>
  output {{ File said = stdout() }}
  runtime {{ docker: "{image}" memory: "{RAM_MB} MB" disks: "1" }}
}}
workflow w {{
  input {{ File script }}
  call step {{ input: script = script }}
}}
"""
    files = {"main.wdl": document, "greedy.sh": GREEDY}
    return submission(("WDL", "1.1", "main.wdl"), files, workflow_params=json.dumps({"w.script": "greedy.sh"}))


def snakemake_engine(kind: str, mark: str, _image: str) -> Submission:
    """The Python at the top of a Snakefile does it."""
    snakefile = f"""
import subprocess, sys
from pathlib import Path
subprocess.run(["sh", str(Path(workflow.basedir) / "greedy.sh"), "{kind}", "{mark}"], check=True)
rule all:
    output: "done"
    shell: "touch done"
"""
    return submission(("SMK", "9", "Snakefile"), {"Snakefile": snakefile, "greedy.sh": GREEDY})


def nextflow_engine(kind: str, mark: str, _image: str) -> Submission:
    """The Groovy of a script does it."""
    script = f"""
def greedy = new ProcessBuilder('sh', "${{projectDir}}/greedy.sh", '{kind}', '{mark}').inheritIO().start()
if (greedy.waitFor() != 0) throw new Exception('it failed')
process STEP {{
  script: 'true'
}}
workflow {{ STEP() }}
"""
    return submission(("NFL", "DSL2", "main.nf"), {"main.nf": script, "greedy.sh": GREEDY})


MAKERS: dict[str, Callable[[str, str, str], Submission]] = {
    "cwl": cwl,
    "snakemake": snakemake,
    "nextflow": nextflow,
    "wdl": wdl,
    "snakemake_engine": snakemake_engine,
    "nextflow_engine": nextflow_engine,
}


KINDS_OF: dict[str, tuple[str, ...]] = {
    "cwl": (*KINDS, *MORE_KINDS),
    "snakemake": ("memory",),
    "nextflow": ("disk",),
    "wdl": ("log",),
    "snakemake_engine": ("forks", "memories", "files", "log"),
    "nextflow_engine": ("memory",),
}
"""A limit is the same in whatever language a step is, and for each engine: CWL's steps and Snakemake's engine meet all
of them, the others one, which shows that its sentence comes through."""


def cases(runner: str) -> dict[str, tuple[str, str]]:
    """Maker and kind of each, by its name. What an engine does is the same with every runner of steps; a container has
    one limit for all of its processes, and for all of its files."""
    chosen = KINDS_OF if runner == "bubblewrap" else {"cwl": KINDS}
    return {f"{maker}-{kind}": (maker, kind) for maker, kinds in chosen.items() for kind in kinds}
