"""What a Snakefile may say about a rule, each seen to work with a real Snakemake on a real TES."""

import json
import stat
from pathlib import Path
from typing import Any

from tests.engine_fixtures import EngineRun, Tes
from tests.integration.engines.adopting import adopting
from tests.integration.engines.snakemake.conftest import SnakemakeRuns
from tests.waiting import until

CHAIN = """
rule all:
    input: "out/3.txt"
rule one:
    output: "out/1.txt"
    shell: "echo 1 > {output}"
rule two:
    input: "out/1.txt"
    output: "out/2.txt"
    shell: "cat {input} > {output}; echo 2 >> {output}"
rule three:
    input: "out/2.txt"
    output: "out/3.txt"
    shell: "cat {input} > {output}; echo 3 >> {output}"
"""


def text(run: EngineRun, name: str) -> str:
    return (run.folder.work / name).read_text()


def progress(run: EngineRun) -> Any:
    return json.loads(text(run, ".wes/progress.json"))


def test_each_version_runs_each_job_as_a_task(runs_of_each_version: SnakemakeRuns) -> None:
    run = runs_of_each_version.new({"Snakefile": CHAIN}).start()
    assert list(run.outputs()) == ["out/3.txt"]
    assert text(run, "out/3.txt") == "1\n2\n3\n"
    tasks = runs_of_each_version.tasks(run)
    assert sorted(tasks) == ["one", "three", "two"]
    one = tasks["one"]
    assert one["executors"][0]["command"][-1] == "echo 1 > out/1.txt"
    assert one["executors"][0]["image"] == "docker.io/library/python:3-slim"
    assert not one.get("resources")
    assert progress(run) == {"known": 3, "running": 0, "done": 3, "failed": 0, "cached": 0}


def test_each_version_runs_python_of_a_rule_in_its_task(runs_of_each_version: SnakemakeRuns) -> None:
    snakefile = """
rule run:
    input: "data/x.txt"
    output: "run.txt"
    params: word="hello"
    threads: 2
    run:
        with open(output[0], "w") as file:
            file.write(params.word + open(input[0]).read())
"""
    run = runs_of_each_version.new({"Snakefile": snakefile, "data/x.txt": " x\n"}).start()
    run.outputs()
    assert text(run, "run.txt") == "hello x\n"
    version = runs_of_each_version.installation.version
    task = runs_of_each_version.tasks(run)["run"]
    assert task["executors"][0]["image"] == f"docker.io/snakemake/snakemake:v{version}"
    assert task["resources"]["cpu_cores"] == 2


SHEET = """\
import pandas as pd
samples = pd.read_csv(config["sheet"], sep="\\t", dtype=str).set_index("sample", drop=False)

rule all:
    input: "summary.tsv"
rule count:
    input: lambda wildcards: samples.loc[wildcards.sample, "reads"]
    output: "{sample}.n"
    shell: "wc -l < {input} > {output}"
rule merge:
    input: expand("{sample}.n", sample=samples["sample"])
    output: "summary.tsv"
    run:
        import pandas
        rows = [(name.split(".")[0], int(open(name).read())) for name in input]
        pandas.DataFrame(rows, columns=["sample", "lines"]).to_csv(output[0], sep="\\t", index=False)
"""


def test_each_version_reads_a_sample_sheet_with_pandas(runs_of_each_version: SnakemakeRuns) -> None:
    sheet = "sample\treads\ttreated\nA\treads/a.txt\tyes\nB\treads/b.txt\tno\n"
    files = {"Snakefile": SHEET, "samples.tsv": sheet, "reads/a.txt": "1\n2\n", "reads/b.txt": "1\n2\n3\n"}
    run = runs_of_each_version.new(files, {"sheet": "samples.tsv"}).start()
    run.outputs()
    assert (run.folder.work / "summary.tsv").read_text() == "sample\tlines\nA\t2\nB\t3\n"
    assert set(runs_of_each_version.tasks(run)) == {"count (sample=A)", "count (sample=B)", "merge"}


def test_wildcards_params_config_functions_and_includes(snakemake_runs: SnakemakeRuns) -> None:
    files = {
        "workflow/Snakefile": """
configfile: "config/defaults.yaml"
include: "rules/count.smk"
rule all:
    input: expand("counts/{sample}.{kind}.txt", sample=config["samples"], kind=["lines"])
""",
        "workflow/rules/count.smk": """
def reads(wildcards):
    return config["folder"] + "/" + wildcards.sample + ".txt"
rule count:
    input: reads
    output: "counts/{sample}.{kind}.txt"
    params: prefix=lambda wildcards: wildcards.sample.upper()
    threads: 9
    resources: mem_mb=512, disk_mb=2000, gpu=1, runtime=5
    container: "docker://docker.io/library/debian:12"
    shell: "echo {params.prefix} {threads} $OMP_NUM_THREADS $(wc -l < {input}) {wildcards.kind} > {output}"
""",
        "config/defaults.yaml": "folder: nowhere\nsamples: [z]\n",
        "reads/a.txt": "1\n2\n",
        "reads/b.txt": "1\n",
    }
    params = {"samples": ["a", "b"], "folder": "reads"}
    run = snakemake_runs.new(files, params, workflow="workflow/Snakefile", parameters={"max_threads": "2"}).start()
    assert list(run.outputs()) == ["counts/a.lines.txt", "counts/b.lines.txt"]
    assert text(run, "counts/a.lines.txt") == "A 2 2 2 lines\n"
    tasks = snakemake_runs.tasks(run)
    assert sorted(tasks) == ["count (sample=a, kind=lines)", "count (sample=b, kind=lines)"]
    task = tasks["count (sample=a, kind=lines)"]
    assert task["executors"][0]["image"] == "docker.io/library/debian:12"
    wanted = {name: float(task["resources"][name]) for name in ("cpu_cores", "ram_gb", "disk_gb")}
    assert wanted == {"cpu_cores": 2, "ram_gb": 0.512, "disk_gb": 2}
    assert run.end is not None
    assert "functions of these rules run inside the engine: count" in run.end.stderr


def test_a_checkpoint_adds_jobs_and_its_folder_is_an_output(snakemake_runs: SnakemakeRuns) -> None:
    snakefile = """
rule all:
    input: "all.txt"
checkpoint split:
    output: directory("parts")
    shell: "mkdir {output}; for i in 1 2 3; do echo $i > {output}/$i.txt; done"
rule each:
    input: "parts/{i}.txt"
    output: temp("each/{i}.txt")
    shell: "sed s/^/x/ {input} > {output}"
def parts(wildcards):
    folder = checkpoints.split.get().output[0]
    return expand("each/{i}.txt", i=glob_wildcards(folder + "/{i}.txt").i)
rule gather:
    input: parts
    output: "all.txt"
    run:
        with open(output[0], "w") as file:
            file.write("".join(sorted(open(name).read() for name in input)))
"""
    run = snakemake_runs.new({"Snakefile": snakefile}).start()
    run.outputs()
    assert text(run, "all.txt") == "x1\nx2\nx3\n"
    assert not (run.folder.work / "each").exists() or not list((run.folder.work / "each").iterdir())
    assert len(snakemake_runs.tasks(run)) == 5
    assert progress(run)["known"] == progress(run)["done"] == 5


def test_a_group_is_one_task_with_an_executor_for_each_job(snakemake_runs: SnakemakeRuns) -> None:
    snakefile = """
rule all:
    input: "A.b.txt"
rule a:
    output: temp("{s}.a.txt")
    group: "pair"
    container: "docker://docker.io/library/debian:12"
    shell: "echo {wildcards.s} > {output}"
rule b:
    input: "{s}.a.txt"
    output: protected("{s}.b.txt")
    log: "logs/{s}.log"
    benchmark: repeat("bench/{s}.tsv", 2)
    group: "pair"
    shell: "cat {input} > {output}; echo seen > {log}"
"""
    run = snakemake_runs.new({"Snakefile": snakefile}).start()
    run.outputs()
    (name, task), *others = snakemake_runs.tasks(run).items()
    assert (name, others) == ("pair: a, b (s=A)", [])
    images = [executor["image"] for executor in task["executors"]]
    assert images == ["docker.io/library/debian:12", *["docker.io/library/python:3-slim"] * 2]
    assert text(run, "logs/A.log") == "seen\n"
    header, *rows = text(run, "bench/A.tsv").splitlines()
    assert header.startswith("s\th:m:s\tmax_rss")
    assert len(rows) == 2
    assert all(float(row.split("\t")[0]) > 0 for row in rows)
    assert not stat.S_IMODE((run.folder.work / "A.b.txt").stat().st_mode) & 0o222


def test_a_retried_job_is_a_task_of_its_own_for_each_attempt(snakemake_runs: SnakemakeRuns) -> None:
    snakefile = """
rule flaky:
    output: "x.txt"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: attempt * 100
    shell: "[ {resources.mem_mb} = 300 ] && echo {resources.mem_mb} > {output}"
"""
    run = snakemake_runs.new({"Snakefile": snakefile}).start()
    run.outputs()
    assert text(run, "x.txt") == "300\n"
    tasks = snakemake_runs.tasks(run)
    states = {name: task["state"] for name, task in tasks.items()}
    assert states == {"flaky": "EXECUTOR_ERROR", "flaky #2": "EXECUTOR_ERROR", "flaky #3": "COMPLETE"}
    assert tasks["flaky #2"]["tags"]["wes.step"] == "flaky"
    assert progress(run) == {"known": 1, "running": 0, "done": 1, "failed": 0, "cached": 0}


def test_local_rules_pipes_touched_files_and_templates_are_tasks_too(snakemake_runs: SnakemakeRuns) -> None:
    files = {
        "Snakefile": """
localrules: near
rule all:
    input: "near.txt", "touched", "piped.txt", "page.txt"
rule near:
    output: "near.txt"
    shell: "echo near > {output}"
rule touched:
    output: touch("touched")
    shell: "true"
rule first:
    output: pipe("middle")
    shell: "echo through > {output}"
rule second:
    input: "middle"
    output: "piped.txt"
    shell: "cat {input} > {output}"
rule page:
    input: "page.j2"
    output: "page.txt"
    params: name="Ada"
    template_engine: "jinja2"
""",
        "page.j2": "Dear {{ params.name }}",
    }
    run = snakemake_runs.new(files).start()
    assert list(run.outputs()) == ["near.txt", "page.txt", "piped.txt", "touched"]
    assert text(run, "piped.txt") == "through\n"
    assert text(run, "page.txt").strip() == "Dear Ada"
    assert sorted(snakemake_runs.tasks(run)) == ["first, second", "near", "page", "touched"]


def test_what_is_attached_is_seen_under_its_own_name(snakemake_runs: SnakemakeRuns) -> None:
    files = {
        "Snakefile": """
rule all:
    input: "a.txt", "b.txt"
rule undeclared:
    output: "a.txt"
    shell: "sh tools/say.sh > {output}; sort -o scratch.txt {output}"
rule by_path:
    input: tool=workflow.source_path("tools/say.sh"), data="data"
    output: "b.txt"
    shadow: "minimal"
    shell: "sh {input.tool} > {output}; cat {input.data}/deep/x.txt >> {output}"
""",
        "tools/say.sh": "echo said\n",
        "data/deep/x.txt": "deep\n",
    }
    run = snakemake_runs.new(files).start()
    run.outputs()
    assert text(run, "a.txt") == "said\n"
    assert text(run, "b.txt") == "said\ndeep\n"
    # What a command writes beside its outputs is not kept.
    assert not (run.folder.work / "scratch.txt").exists()


def test_a_target_may_be_chosen(snakemake_runs: SnakemakeRuns) -> None:
    run = snakemake_runs.new({"Snakefile": CHAIN}, fragment="two").start()
    assert list(run.outputs()) == ["out/2.txt"]


def test_what_is_made_already_is_not_made_again(snakemake_runs: SnakemakeRuns) -> None:
    run = snakemake_runs.new({"Snakefile": CHAIN}, fragment="two").start()
    run.outputs()
    run.fragment = None
    run.start().outputs()
    assert progress(run) == {"known": 1, "running": 0, "done": 1, "failed": 0, "cached": 2}
    assert sorted(snakemake_runs.tasks(run)) == ["one", "three", "two"]


def test_a_long_command_and_long_lists_of_files(snakemake_runs: SnakemakeRuns) -> None:
    snakefile = """
rule all:
    input: "n.txt"
rule make:
    output: expand("made/{i:05d}-{word}.txt", i=range(1500), word="long" * 20)
    shell: "for i in {output}; do echo > $i; done"
rule count:
    input: rules.make.output
    output: "n.txt"
    shell: "echo {input} | wc -w > {output}"
"""
    run = snakemake_runs.new({"Snakefile": snakefile}).start()
    run.outputs()
    assert text(run, "n.txt").strip() == "1500"


def test_odd_file_names(snakemake_runs: SnakemakeRuns) -> None:
    names = ["it's.txt", "säge#1.txt", "with space.txt"]
    snakefile = f"""
rule all:
    input: {[f"out/{name}" for name in names]}
rule a:
    input: "in/{{name}}"
    output: "out/{{name}}"
    shell: "cat {{input:q}} > {{output:q}}"
"""
    run = snakemake_runs.new({"Snakefile": snakefile, **{f"in/{name}": "x" for name in names}}).start()
    assert list(run.outputs()) == [f"out/{name}" for name in names]
    for name in names:
        assert (run.folder.work / "out" / name).read_text() == "x"
        assert Path(run.folder.work / "in" / name).is_symlink()


def test_an_engine_that_was_killed_and_is_started_again_runs_no_step_twice(
    snakemake_runs: SnakemakeRuns, tes: Tes
) -> None:
    """Of the steps that ended meanwhile, nothing is removed; a checkpoint may have added jobs, and so attachments."""
    snakefile = """
rule all:
    input: "all.txt", "slow.txt"
checkpoint split:
    output: directory("parts")
    shell: "mkdir {output}; for i in 1 2; do echo $i > {output}/$i.txt; done; cat loose.txt"
rule each:
    input: "parts/{i}.txt", "named.txt"
    output: update("each/{i}.txt")
    shell: "sleep 3; cat {input} >> {output}; cat loose.txt >> {output}"
def parts(wildcards):
    folder = checkpoints.split.get().output[0]
    return expand("each/{i}.txt", i=glob_wildcards(folder + "/{i}.txt").i)
rule gather:
    input: parts
    output: "all.txt"
    shell: "cat {input} > {output}"
rule slow:
    output: "slow.txt"
    run:
        import time
        time.sleep(3)
        with open(output[0], "w") as file:
            file.write("slow")
"""
    files = {"Snakefile": snakefile, "named.txt": "n\n", "loose.txt": "l\n"}
    with adopting(tes) as url:
        run = snakemake_runs.new(files)
        run.tes_url = url
        run.start()
        until(lambda: len(snakemake_runs.tasks(run)) == 4)
        assert run.process is not None
        run.process.kill()
        run.wait()
        until(lambda: all(task["state"] == "COMPLETE" for task in snakemake_runs.tasks(run).values()))
        run.start().outputs()
    assert text(run, "all.txt") == "1\nn\nl\n2\nn\nl\n"
    assert text(run, "slow.txt") == "slow"
    ran = [task["name"] for task in tes.tasks() if task["executors"][0]["workdir"] == str(run.folder.work)]
    assert sorted(ran) == ["each (i=1)", "each (i=2)", "gather", "slow", "split"]
