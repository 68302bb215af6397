"""Workflows that can't run, by what is wrong with them: their files, and words of the sentence that the user gets."""

from typing import NamedTuple

ONE = "rule a:\n    output: 'x'\n    shell: 'touch {output}'\n"
CYCLE = """\
rule a:
    input: 'b'
    output: 'a'
    shell: ''
rule b:
    input: 'a'
    output: 'b'
    shell: ''
"""
AMBIGUOUS = """
rule all:
    input: 'x.t'
rule a:
    output: 'x.{e}'
    shell: ''
rule b:
    output: '{n}.t'
    shell: ''
"""
MODULE = """
module other:
    snakefile: gitlab("lab/flow", path="workflow/Snakefile", tag="v1", host="gitlab.invalid")
use rule * from other
"""


class FailingWorkflow(NamedTuple):
    """`files`: of the Snakefile, or of all files by their name. `told`: what the sentence has to hold."""

    files: dict[str, str] | str
    told: str


FAILING = {
    "unterminated string": FailingWorkflow(
        "rule a:\n    output: 'x'\n    shell: 'echo hi > {output}\n", "Snakefile:3: syntax error: unterminated string"
    ),
    "unknown keyword": FailingWorkflow(
        "rule a:\n    outptu: 'x'\n    shell: 'true'\n", "Snakefile:2: syntax error: Unexpected keyword outptu"
    ),
    "unknown name": FailingWorkflow(
        "rule all:\n    input: 'x'\n\nprint(no_such)\n", "Snakefile:4: NameError: name 'no_such' is not defined"
    ),
    "missing config": FailingWorkflow("rule all:\n    input: config['sample']\n", "Snakefile:2: KeyError: 'sample'"),
    "included file is wrong": FailingWorkflow(
        {"Snakefile": "include: 'rules/a.smk'\n", "rules/a.smk": "\n\nrule x:\n    output 'y'\n"},
        "rules/a.smk:4: syntax error: Colon expected",
    ),
    "included file is missing": FailingWorkflow("include: 'rules/gone.smk'\n", "rules/gone.smk"),
    "input is missing": FailingWorkflow(
        "rule all:\n    input: 'out'\nrule align:\n    input: 'gone.txt'\n    output: 'out'\n    shell: 'true'\n",
        "Snakefile:3: Missing input files for rule align: output: out, affected files: gone.txt",
    ),
    "target is missing": FailingWorkflow(
        "rule all:\n    input: 'nothing.txt'\n", "Missing input files for rule all: affected files: nothing.txt"
    ),
    "cycle": FailingWorkflow(CYCLE, "Snakefile:1: Cyclic dependency on rule a"),
    "ambiguous rules": FailingWorkflow(AMBIGUOUS, "are ambiguous for the file x.t"),
    "unknown name in a command": FailingWorkflow(
        "rule a:\n    output: 'x'\n    shell: 'echo {nope}'\n", "Snakefile:1: NameError: The name 'nope' is unknown"
    ),
    "wildcards in the target": FailingWorkflow(
        "rule a:\n    output: '{s}.txt'\n    shell: 'true'\n", "Target rules may not contain wildcards"
    ),
    "no rule": FailingWorkflow("x = 1\n", "Snakefile has no rule"),
    "missing package": FailingWorkflow(
        "import scipy\n" + ONE, "No module named 'scipy' (the engine has Snakemake's own packages and pandas only"
    ),
    "environment variable": FailingWorkflow(
        "envvars: 'MY_TOKEN'\n" + ONE,
        "MY_TOKEN (the engine has none of your environment variables, nor of the server's: read the value from config",
    ),
    "image file": FailingWorkflow(
        "rule a:\n    output: 'x'\n    container: 'a.sif'\n    shell: 'true'\n",
        "the rule a wants the container 'a.sif'",
    ),
    "storage": FailingWorkflow(
        "rule a:\n    input: storage.http('https://example.org/x')\n    output: 'x'\n    shell: 'true'\n",
        "storage() is not supported: attach the file to the run",
    ),
    "function of an input": FailingWorkflow(
        "rule a:\n    input: lambda wildcards: config['reads'][wildcards.s]\n    output: '{s}.x'\n    shell: ''\n"
        "rule all:\n    default_target: True\n    input: 'A.x'\n",
        "KeyError: 'reads'",
    ),
    "missing config file": FailingWorkflow(
        "configfile: 'config/gone.yaml'\n" + ONE, "configfile config/gone.yaml but it is not present or accessible"
    ),
    "missing script": FailingWorkflow("rule a:\n    output: 'x'\n    script: 'scripts/gone.py'\n", "scripts/gone.py"),
    "module of a repository": FailingWorkflow(MODULE, "this server gives engines no network: attach what"),
    "newer Snakemake": FailingWorkflow("from snakemake.utils import min_version\nmin_version('99.1')\n" + ONE, "99.1"),
    "params that do not fit the schema": FailingWorkflow(
        {
            "Snakefile": "from snakemake.utils import validate\nvalidate(config, 'schema.yaml')\n" + ONE,
            "schema.yaml": "$schema: 'http://json-schema.org/draft-07/schema#'\nrequired: [samples]\ntype: object\n",
        },
        "'samples' is a required property",
    ),
}


def files_of(workflow: FailingWorkflow) -> dict[str, str]:
    """By their names."""
    return {"Snakefile": workflow.files} if isinstance(workflow.files, str) else workflow.files
