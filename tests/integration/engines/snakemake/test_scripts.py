"""Rules with a `script:`, a `notebook:` or a `wrapper:`: what they see is what they see in a plain Snakemake."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.engine_fixtures import EngineRun
from tests.integration.engines.snakemake.conftest import SnakemakeRuns

SNAKEFILE = """
configfile: "config/c.yaml"
# Stand-ins, which tell what they are given.
shell.prefix(
    'set -eu; Rscript() {{ cat "$2" > r.txt; }}; julia() {{ cat "$1" > julia.txt; }}; '
    'papermill() {{ [ "$1" = --version ] || cat "$3" > note.txt; }}; '
    'jupyter-nbconvert() {{ cat "${{@: -1}}" > note.txt; }}; '
)
rule all:
    input: "A.py.txt", "r.txt", "julia.txt", "bash.txt", "wrapped.txt", "note.txt"
rule python:
    input: "data/x.txt", more=["data/x.txt", "data/x.txt"]
    output: "{sample}.py.txt", table="tables/{sample}.tsv"
    params: "first", word="it's", nested={"a": [1, 2.5, None]}, name=lambda wildcards: wildcards.sample * 2
    log: "logs/{sample}.log"
    threads: 2
    resources: mem_mb=100
    benchmark: repeat("bench/{sample}.tsv", 2)
    container: "docker://docker.io/library/python:3-slim"
    script: "scripts/{wildcards.sample}.py"
rule r:
    input: named="data/x.txt"
    output: "r.txt"
    params: flag=True, numbers=[1, 2]
    script: "scripts/plot.R"
rule julia:
    output: "julia.txt"
    params: text='say "x"'
    script: "scripts/do.jl"
rule bash:
    input: "data/x.txt"
    output: "bash.txt"
    params: word="a b"
    script: "scripts/do.sh"
rule wrapped:
    output: "wrapped.txt"
    container: "docker://docker.io/library/python:3-slim"
    wrapper: "file:wrappers/echo"
rule note:
    output: "note.txt"
    notebook: "scripts/note.ipynb"
"""
SCRIPT = """\
import helper
from snakemake.shell import shell
seen = vars(snakemake)
names = ("input", "output", "wildcards", "resources", "log")
known = [list(seen["_params_store"].items()), *(list(seen[name].items()) for name in names)]
plain = [list(snakemake.input), snakemake.threads, snakemake.config, snakemake.rule, snakemake.scriptdir, __file__]
with open(snakemake.output[0], "w") as file:
    print(*known, *plain, helper.WORD, file=file, sep="\\n")
shell("cat {snakemake.input} > {snakemake.output.table}; echo $OMP_NUM_THREADS >> {snakemake.output.table}")
with open(snakemake.log[0], "a") as file:
    print(snakemake.bench_iteration, file=file)
"""
BASH = """\
#!/usr/bin/env bash
said="${snakemake_input[0]} ${snakemake_params[word]} ${snakemake_config[word]} ${snakemake[rule]}"
echo "$said" > "${snakemake_output[0]}"
"""
NOTEBOOK = {
    "cells": [{"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": "print(1)"}],
    "metadata": {"language_info": {"name": "python"}},
    "nbformat": 4,
    "nbformat_minor": 4,
}
FILES = {
    "Snakefile": SNAKEFILE,
    "config/c.yaml": "word: theirs\nlist: [a, {b: 1}]\n",
    "data/x.txt": "x\n",
    "scripts/A.py": SCRIPT,
    "scripts/helper.py": "WORD = 'helped'\n",
    "scripts/plot.R": "write(1, snakemake@output[[1]])\n",
    "scripts/do.jl": "println(snakemake.rule)\n",
    "scripts/do.sh": BASH,
    "scripts/note.ipynb": json.dumps(NOTEBOOK),
    "wrappers/echo/wrapper.py": "open(snakemake.output[0], 'w').write(snakemake.rule)\n",
    "wrappers/echo/environment.yaml": "dependencies: [samtools]\n",
}
MADE = ("A.py.txt", "tables/A.tsv", "r.txt", "julia.txt", "bash.txt")


def plain_snakemake(runs: SnakemakeRuns, run: EngineRun, folder: Path) -> None:
    """The same workflow by the same Snakemake with nothing of ours."""
    for name in ("config/c.yaml", "data/x.txt"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(FILES[name])
    program = runs.installation.environment / "bin" / "snakemake"
    argv = [str(program), "--cores", "2", "--snakefile", str(run.folder.attachments / "Snakefile"), *MADE]
    environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(folder), "TMPDIR": "/tmp"}
    ran = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_each_version_gives_scripts_what_a_plain_snakemake_gives_them(
    runs_of_each_version: SnakemakeRuns, tmp_path: Path
) -> None:
    runs = runs_of_each_version
    run = runs.new(FILES).start()
    run.outputs()
    plain_snakemake(runs, run, tmp_path)
    for name in MADE:
        assert (run.folder.work / name).read_text() == (tmp_path / name).read_text(), name
    assert (run.folder.work / "logs/A.log").read_text() == "0\n1\n"
    assert len((run.folder.work / "bench/A.tsv").read_text().splitlines()) == 3
    assert (run.folder.work / "wrapped.txt").read_text() == "wrapped"
    # Snakemake gives the cell with its preamble another id each time.
    assert "snakemake-job-properties" in (run.folder.work / "note.txt").read_text()
    tasks = runs.tasks(run)
    images = {name: task["executors"][0]["image"] for name, task in tasks.items()}
    assert images["python (sample=A)"] == images["r"] == "docker.io/library/python:3-slim"
    script_without_snakemake(run, tasks["python (sample=A)"], tmp_path)


def script_without_snakemake(run: EngineRun, task: Any, folder: Path) -> None:
    """The script as its task has it, by a Python that has no package at all."""
    inputs = {each["path"]: each for each in task["inputs"]}
    assert inputs["/mnt/snakemake_searchpaths/item_0"]["url"] == f"file://{run.folder.work}/.wes/snakemake.zip"
    text = inputs["/var/lib/wes-step/1.sh.source"]["content"]
    script = folder / "script.py"
    script.write_text(text.replace("/mnt/snakemake_searchpaths/item_0", f"{run.folder.work}/.wes/snakemake.zip"))
    made = folder / "A.py.txt"
    before = made.read_text()
    made.unlink()
    ran = subprocess.run(
        [sys.executable, "-I", "-S", str(script)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert made.read_text() == before
