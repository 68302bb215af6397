"""Hostile workflows of each language: they run `probe.sh` as the engine and as a step, and ask the engine for files."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.attacks.targets import Targets
from tests.acceptance.stack import Form, Parts, attachment

PROGRAMS = Path(__file__).with_name("programs")
PROBE = (PROGRAMS / "probe.sh").read_text()
GATEWAY_ATTACK = (PROGRAMS / "gateway_attack.py").read_text()
CPUS = 4
"""What the TES that is attacked has for its tasks."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is posted to /runs. `probed` tells how often the probe must say that it came to its end."""

    form: Form
    parts: Parts
    probed: int = 1


def _probe(targets: Targets, runner: str) -> str:
    """`probe.sh` with its targets in it, as a step has no environment of its own in every language."""
    given = "".join(
        f"{name}={shlex.quote(value)}\nexport {name}\n" for name, value in targets.environment(runner).items()
    )
    return given + PROBE


def submission(kind: tuple[str, str, str], files: Mapping[str, str], probed: int = 1, **fields: str) -> Submission:
    workflow_type, version, url = kind
    form = {"workflow_type": workflow_type, "workflow_type_version": version, "workflow_url": url, **fields}
    return Submission(form=form, parts=[attachment(name, text) for name, text in files.items()], probed=probed)


ESCAPE = "this.constructor.constructor('return process')()"


def cwl(targets: Targets, image: str, runner: str) -> Submission:
    """A JavaScript expression that leaves its context, and a step. The step's links lead out of its folder."""
    document = {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "requirements": {"InlineJavascriptRequirement": {}, "StepInputExpressionRequirement": {}},
        "inputs": {"probe": "File"},
        "outputs": {"said": {"type": "File", "outputSource": "step/said"}},
        "steps": {
            "step": {
                "run": {
                    "class": "CommandLineTool",
                    "requirements": {"DockerRequirement": {"dockerPull": image}},
                    "baseCommand": "sh",
                    "stdout": "said.txt",
                    "inputs": {"probe": {"type": "File", "inputBinding": {}}, "word": "string?"},
                    "outputs": {"said": "stdout"},
                },
                "in": {
                    "probe": "probe",
                    "word": {
                        "valueFrom": "${ try { return String(" + ESCAPE + ".mainModule.require('child_process')"
                        ".execSync('sh ' + inputs.probe.path + ' | tee escaped.txt')); } catch (e) { return 'no'; } }"
                    },
                },
                "out": ["said"],
            }
        },
    }
    params = {"probe": {"class": "File", "location": "probe.sh"}}
    files = {"main.cwl": json.dumps(document), "probe.sh": _probe(targets, runner)}
    return submission(("CWL", "v1.2", "main.cwl"), files, workflow_params=json.dumps(params))


def cwl_input(targets: Targets, image: str, _runner: str) -> Submission:
    """A default of a File that is another run's."""
    document = {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "requirements": {"DockerRequirement": {"dockerPull": image}},
        "baseCommand": "cat",
        "inputs": {
            f"file{number}": {
                "type": "File?",
                "inputBinding": {},
                "loadContents": True,
                "default": {"class": "File", "location": f"file://{path}"},
            }
            for number, path in enumerate(targets.read[:4])
        },
        "stdout": "said.txt",
        "outputs": {"said": "stdout"},
    }
    return submission(("CWL", "v1.2", "main.cwl"), {"main.cwl": json.dumps(document)}, 0)


def cwl_links(targets: Targets, image: str, _runner: str) -> Submission:
    """Outputs that are links to another run's files, a folder of such links, and a cwl.output.json that names them."""
    links = "; ".join(f"ln -s {shlex.quote(str(path))} out/{number}" for number, path in enumerate(targets.read))
    named = json.dumps({"last": {"class": "File", "path": str(targets.read[0])}})
    document = {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "requirements": {"DockerRequirement": {"dockerPull": image}},
        "baseCommand": ["sh", "-c", f"mkdir out; {links}; printf '%s' {shlex.quote(named)} > cwl.output.json"],
        "inputs": {},
        "outputs": {
            "links": {"type": "File[]?", "outputBinding": {"glob": "out/*"}},
            "all": {"type": "Directory?", "outputBinding": {"glob": "out"}},
            "last": {"type": "File?", "outputBinding": {"glob": "out/0"}},
        },
    }
    return submission(("CWL", "v1.2", "main.cwl"), {"main.cwl": json.dumps(document)}, 0)


def snakemake(targets: Targets, image: str, runner: str) -> Submission:
    """Python at the top of a Snakefile, and a rule."""
    snakefile = f"""
import subprocess
from pathlib import Path
Path("head.txt").write_text(subprocess.run(["sh", "probe.sh"], capture_output=True, text=True).stdout)
rule all:
    input: "said.txt"
rule step:
    input: "probe.sh"
    output: "said.txt"
    container: "docker://{image}"
    shell: "sh probe.sh > said.txt"
"""
    files = {"Snakefile": snakefile, "probe.sh": _probe(targets, runner)}
    return submission(("SMK", "9", "Snakefile"), files, 2)


def snakemake_gateway(targets: Targets, image: str, _runner: str) -> Submission:
    """Python at the top of a Snakefile that talks to the gateway itself, and asks it for every file by every URL."""
    snakefile = f"""
import subprocess, sys
from pathlib import Path
if not Path("gateway.json").exists():
    here = Path(workflow.basedir)
    subprocess.run([sys.executable, here / "gateway_attack.py", here / "targets.json"], check=True)
rule all:
    input: "done.txt"
rule step:
    output: "done.txt"
    container: "docker://{image}"
    shell: "touch done.txt"
"""
    given = {
        "read": [str(path) for path in targets.read],
        "write": [str(path) for path in targets.write],
        "ports": targets.ports,
        "tasks": targets.tasks,
        "image": image,
        "cpus": CPUS,
    }
    files = {"Snakefile": snakefile, "gateway_attack.py": GATEWAY_ATTACK, "targets.json": json.dumps(given)}
    return submission(("SMK", "9", "Snakefile"), files, 0)


def nextflow(targets: Targets, image: str, runner: str) -> Submission:
    """Groovy at the top of a script, its `file()`, and a process."""
    reads = json.dumps([str(path) for path in targets.read])
    script = f"""
new File('head.txt').text = ['sh', "${{projectDir}}/probe.sh"].execute().text
{reads}.each {{ path ->
  try {{ println 'LEAKED by file(): ' + file(path).text }} catch (Throwable e) {{ println 'no' }}
  try {{ println 'LEAKED by File: ' + new File(path).text }} catch (Throwable e) {{ println 'no' }}
}}
process STEP {{
  container '{image}'
  publishDir '.', mode: 'copy'
  input: path probe
  output: path 'said.txt'
  script: "sh $probe > said.txt"
}}
workflow {{ STEP(file("${{projectDir}}/probe.sh")) }}
"""
    files = {"main.nf": script, "probe.sh": _probe(targets, runner)}
    return submission(("NFL", "DSL2", "main.nf"), files, 2)


def nextflow_publish(targets: Targets, image: str, _runner: str) -> Submission:
    """A process that publishes into another run's folder."""
    script = f"""
process ELSEWHERE {{
  container '{image}'
  publishDir '{targets.write[0]}', mode: 'copy'
  output: path 'pwned'
  script: "echo pwned > pwned"
}}
workflow {{ ELSEWHERE() }}
"""
    return submission(("NFL", "DSL2", "main.nf"), {"main.nf": script}, 0)


def nextflow_input(targets: Targets, image: str, _runner: str) -> Submission:
    """A process whose input is another run's file."""
    script = f"""
process STEP {{
  container '{image}'
  input: path one
  output: stdout
  script: "cat $one"
}}
workflow {{ STEP(Channel.of('{targets.read[0]}').map {{ file(it) }}) | view }}
"""
    return submission(("NFL", "DSL2", "main.nf"), {"main.nf": script}, 0)


def wdl(targets: Targets, image: str, runner: str) -> Submission:
    """A task that runs the probe."""
    document = f"""
version 1.1
task step {{
  input {{ File probe }}
  command <<< sh ~{{probe}} >>>
  output {{ File said = stdout() }}
  runtime {{ docker: "{image}" }}
}}
workflow w {{
  input {{ File probe }}
  call step {{ input: probe = probe }}
  output {{ File said = step.said }}
}}
"""
    files = {"main.wdl": document, "probe.sh": _probe(targets, runner)}
    return submission(("WDL", "1.1", "main.wdl"), files, workflow_params=json.dumps({"w.probe": "probe.sh"}))


def wdl_read(targets: Targets, image: str, _runner: str) -> Submission:
    """Files of another run, by the functions that the engine itself carries out, and as outputs by a link."""
    path = targets.read[0]
    document = f"""
version 1.1
task step {{
  command <<< ln -s {path} link; ln -s {path.parent} folder >>>
  output {{ File? link = "link"  Array[File] found = glob("folder/*")  String text = read_string("link") }}
  runtime {{ docker: "{image}" }}
}}
workflow w {{
  call step
  output {{ String a = read_string("{path}")  File b = "{path}"  String c = step.text  File? d = step.link }}
}}
"""
    return submission(("WDL", "1.1", "main.wdl"), {"main.wdl": document}, 0)


ATTACKS: dict[str, Callable[[Targets, str, str], Submission]] = {
    "cwl": cwl,
    "cwl_input": cwl_input,
    "cwl_links": cwl_links,
    "snakemake": snakemake,
    "snakemake_gateway": snakemake_gateway,
    "nextflow": nextflow,
    "nextflow_input": nextflow_input,
    "nextflow_publish": nextflow_publish,
    "wdl": wdl,
    "wdl_read": wdl_read,
}


OF_THE_ENGINE = {"cwl_input", "nextflow", "nextflow_input", "nextflow_publish", "wdl_read"}
"""What these try is tried by the engine, or refused before a TES has it; `nextflow`'s step is that of the others."""


def attacks(runner: str) -> dict[str, Callable[[Targets, str, str], Submission]]:
    """Those that tell something with this runner of steps: with containers, what others than the engine do."""
    return {name: attack for name, attack in ATTACKS.items() if runner == "bubblewrap" or name not in OF_THE_ENGINE}
