"""What Nextflow 25.04.4 printed when small workflows failed, one file each in `recorded/`, and what a user is told.

A file is the engine's stdout, and its stderr behind a line that says so; `/wes/run` is the run's folder.
"""

from pathlib import Path

import pytest

from common.engine import EngineEnd, RunFolder
from engines.nextflow.adapter import NextflowEngine

RECORDED = Path(__file__).with_name("recorded")
STDERR_MARK = "=== stderr ===\n"
NOT_COMPILED = "(this, or the block that begins here, does not compile)"
INSTALL = "which is not installed here: 'wes engines install nextflow --plugin"
CONFIGS = {"too_new": "manifest { nextflowVersion = '!>=25.10.0' }\n"}
LOGS = {"profile": "[main] DEBUG nextflow.config.ConfigBuilder - Available config profiles: [test, docker]\n"}
TOLD = {
    "args_count": "main.nf:3: Process `A` declares 2 input channels but 1 were specified",
    "collision": (
        "The process 'A' failed: Process `A` input file name collision -- There are multiple input files for "
        "each of the following file names: x.txt"
    ),
    "compile": f"main.nf:1:11: Unexpected input: '{{' {NOT_COMPILED}",
    "config_compile": f"nextflow.config:1:9: Unexpected input: '{{' {NOT_COMPILED}",
    "config_value": "The process 'STEP' failed: Not a valid 'memory' value in process definition: lots",
    "dsl1": ("Nextflow DSL1 is no longer supported — Update your script to DSL2, or use Nextflow 22.10.x or earlier"),
    "eval_output": (
        "The process 'A (S1)' failed: the command of its eval output, 'trim_galore --version | grep -Eo "
        '"[0-9]+(\\.[0-9]+)+"\', ended with exit code 1: bash: line 1: trim_galore: command not found'
    ),
    "failed": "The process 'A (a1)' failed: Process `A (a1)` terminated with an error exit status (3)",
    "missing_file": "main.nf:2: No such file or directory: no.txt",
    "missing_output": "The process 'A' failed: Missing output file(s) `none` expected by process `A`",
    "missing_path": "No files match pattern `no*.txt` at path: ./",
    "module_compile": f"parts/a.nf:1:11: Unexpected input: '{{' {NOT_COMPILED}",
    "module_missing": (
        "main.nf:1: No such file or directory: Can't find a matching module file for include: ./parts/b"
    ),
    "module_no_such_name": "main.nf:1: Cannot find a component with name 'B' in module: a.nf",
    "not_a_path": "The process 'A' failed: Not a valid path value: 'reads.fq'",
    "null_param": "main.nf:3: Argument of `file` function cannot be null",
    "plugin_any": f"the workflow uses the Nextflow plugin nf-schema, {INSTALL} nf-schema' does it",
    "plugin_tilde": f"the workflow uses the Nextflow plugin nf-schema, {INSTALL} nf-schema' does it",
    "plugin_version": f"the workflow uses the Nextflow plugin nf-schema@2.5.1, {INSTALL} nf-schema@2.5.1' does it",
    "profile": "the workflow's config has no profile 'tset'; it has docker, test",
    "s3": f"the workflow uses the Nextflow plugin nf-amazon@2.15.0, {INSTALL} nf-amazon@2.15.0' does it",
    "script_error": (
        "The process 'A' failed: No signature of method: java.lang.Integer.nothing() is applicable for argument "
        "types: () values: [] Possible solutions: notify(), toString(), toString(), toString(), toString(int), "
        "toString(int, int) -- Check script 'main.nf' at line: 2"
    ),
    "secret_config": (
        "nextflow.config: it uses secrets.TOKEN, and this server keeps no secrets of Nextflow: hand it a file with "
        "what it needs"
    ),
    "time": "The process 'A' failed: it ran for longer than its time limit of 1s",
    "too_new": (
        "the workflow is made for Nextflow >=25.10.0, and this is 25.04.4: 'wes engines install nextflow --own "
        "LAUNCHER' adds a Nextflow of your own"
    ),
    "twice": (
        "main.nf:3: Process 'STEP' has been already used -- If you need to reuse the same component, include it with a "
        "different name or include it in a different workflow context"
    ),
    "unknown_function": "main.nf:2: Missing process or function NOTHING()",
    "unknown_operator": "main.nf:2: Missing process or function nothing()",
    "unknown_variable": "main.nf:2: No such variable: nothing",
    "wrong_type": "main.nf:3: Missing process or function intersect([3])",
}


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.txt")))
def test_what_a_user_is_told_of_a_failure(tmp_path: Path, name: str) -> None:
    folder = RunFolder(root=tmp_path, seen_root=Path("/wes/run"))
    for path in (folder.logs, folder.attachments, folder.work / ".wes"):
        path.mkdir(parents=True)
    stdout, _, stderr = (RECORDED / f"{name}.txt").read_text().partition(STDERR_MARK)
    (folder.logs / "stdout").write_text(stdout)
    (folder.attachments / "nextflow.config").write_text(CONFIGS.get(name, ""))
    (folder.work / ".wes" / "nextflow.log").write_text(LOGS.get(name, ""))
    assert NextflowEngine().diagnose(folder, EngineEnd(exit_code=1, stderr=stderr)) == TOLD[name]
