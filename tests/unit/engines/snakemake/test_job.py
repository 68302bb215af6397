"""From Snakemake's jobs to steps, with stand-ins for the jobs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engines.snakemake.executor.attachments import Attachments
from engines.snakemake.executor.files import attached_files
from engines.snakemake.executor.job import (
    STRICT_SHELL,
    JobReader,
    UnsupportedRule,
    step_name,
    tes_resources,
    time_limit,
)
from engines.snakemake.executor.rule_script import RuleScript
from engines.snakemake.executor.settings import SnakemakeSettings


class Flagged(str):
    """A file name with Snakemake's flags."""

    flags: dict[str, Any]

    @classmethod
    def of(cls, name: str, **flags: Any) -> "Flagged":
        made = cls(name)
        made.flags = flags
        return made


@dataclass
class Rule:
    name: str = "align"
    conda_env: str | None = None


@dataclass
class Job:
    """As much of Snakemake's job as is read."""

    rule: Rule = field(default_factory=Rule)
    shellcmd: str | None = "true"
    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ("out.txt",)
    log: tuple[str, ...] = ()
    benchmark: str | None = None
    benchmark_repeats: int | None = None
    wildcards_dict: dict[str, str] = field(default_factory=dict)
    container_img_url: str | None = None
    threads: int = 1
    attempt: int = 1
    resources: dict[str, Any] = field(default_factory=lambda: {"_cores": 1})
    is_shell: bool = True
    is_script: bool = False
    is_notebook: bool = False
    is_wrapper: bool = False
    is_cwl: bool = False
    is_template_engine: bool = False

    def is_group(self) -> bool:
        return False


@dataclass
class Group:
    jobs: tuple[Job, ...]
    groupid: str = "pair"
    threads: int = 1
    attempt: int = 1
    resources: dict[str, Any] = field(default_factory=lambda: {"_cores": 2})

    @property
    def toposorted(self) -> list[list[Job]]:
        return [[job] for job in self.jobs]

    def is_group(self) -> bool:
        return True


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "attachments").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def attached(work: Path) -> Attachments:
    folder = work.parent / "attachments"
    return Attachments(folder=folder, work=work, names=attached_files(folder))


def a_script(job: Any, repeat: int | None) -> RuleScript:
    """Stands for what Snakemake makes of it."""
    python = not job.is_wrapper
    return RuleScript(
        file="do.py",
        text=f"# repeat {repeat}\nopen('ref/named.txt')\n",
        command="python .snakemake/scripts/wes.do.py" if python else "Rscript --vanilla .snakemake/scripts/wes.do.R",
        programs=("python" if python else "Rscript",),
        in_python=python,
        names=("sheet.tsv", "hello"),
    )


def reader(work: Path, prefix: str = STRICT_SHELL, declared: tuple[str, ...] = (), **more: Any) -> JobReader:
    given: dict[str, Any] = {
        "workflow": work.parent / "attachments" / "Snakefile",
        "fragment": None,
        "params": {},
        "attachments": work.parent / "attachments",
        "work": work,
        "environment": Path("/engines/snakemake"),
        "tes_url": "http://tes",
        "token_file": Path("/token"),
        "default_image": "default:1",
        "nested_image": "snakemake:9",
        "targets": "",
        "parallel": 1,
        "retries": 0,
        "latency_wait": 0,
        "max_threads": 0,
        "on_error": "stop",
        "conda": True,
        **more,
    }
    return JobReader(
        settings=SnakemakeSettings(**given),
        attachments=attached(work),
        declared=lambda: frozenset(declared),
        nested_arguments=lambda _: ["--cores", "1"],
        rule_script=a_script,
        shell_prefix=lambda: prefix,
        checkpoint_outputs=lambda: ["parts"],
    )


def test_a_shell_rule_runs_its_command_in_strict_bash_in_its_own_image(work: Path) -> None:
    (part,) = reader(work).step(Job(shellcmd="a | b", container_img_url="docker://debian:12")).commands
    assert list(part.words) == ["bash", "-euo", "pipefail", "-c", "a | b"]
    assert part.image == "debian:12"
    assert part.environment["OMP_NUM_THREADS"] == "1"


def test_a_rule_without_an_image_gets_the_default_one(work: Path) -> None:
    assert reader(work).step(Job()).commands[0].image == "default:1"


def test_a_prefix_of_the_workflows_own_takes_the_place_of_the_strict_one(work: Path) -> None:
    (part,) = reader(work, prefix="set +u; ").step(Job(shellcmd="a")).commands
    assert list(part.words) == ["bash", "-c", "set +u; a"]


@pytest.mark.parametrize("kind", ["is_script", "is_notebook", "is_wrapper"])
def test_a_script_runs_in_the_rules_own_image_with_the_preamble_and_the_modules_as_inputs(
    work: Path, kind: str
) -> None:
    job = Job(is_shell=False, shellcmd=None, container_img_url="docker://mine:1")
    setattr(job, kind, True)
    step = reader(work).step(job)
    (part,) = step.commands
    made = a_script(job, None)
    assert (part.image, part.nested, part.source) == ("mine:1", False, made.text)
    assert list(part.words) == ["bash", "-euo", "pipefail", "-c", made.command]
    assert step.modules == (work / ".wes/snakemake.zip" if made.in_python else None)


def test_a_script_without_an_image_gets_snakemakes_own_python_or_what_shell_commands_get(work: Path) -> None:
    python = reader(work).step(Job(is_shell=False, shellcmd=None, is_script=True)).commands[0]
    assert python.image == "snakemake:9"
    assert "/engines/snakemake/bin/python" in python.script
    other = reader(work).step(Job(is_shell=False, shellcmd=None, is_wrapper=True)).commands[0]
    assert other.image == "default:1"
    assert "/engines/snakemake" not in other.script


def test_a_script_runs_once_for_each_repetition_of_its_benchmark_and_knows_which(work: Path) -> None:
    job = Job(is_shell=False, shellcmd=None, is_script=True, benchmark="b.tsv", benchmark_repeats=2)
    commands = reader(work).step(job).commands
    assert [command.source for command in commands] == [a_script(job, number).text for number in range(2)]
    assert {command.benchmark for command in commands} == {"b.tsv"}


def test_a_script_gets_the_data_that_its_text_its_configuration_and_its_params_name(work: Path) -> None:
    attachments = work.parent / "attachments"
    declared = ("ref/named.txt", "ref/other.txt", "sheet.tsv", "reads.fq")
    for name in ("scripts/do.py", *declared):
        (attachments / name).parent.mkdir(parents=True, exist_ok=True)
        (attachments / name).write_text("x")
    job = Job(is_shell=False, shellcmd=None, is_script=True, input=("reads.fq",))
    given = ("reads.fq", "ref/named.txt", "scripts", "sheet.tsv")
    assert reader(work, declared=declared).step(job).inputs == tuple(attachments / name for name in given)


@pytest.mark.parametrize("kind", ["is_cwl", "is_template_engine", "is_run"])
def test_other_rules_run_snakemake_in_an_image_that_has_it(work: Path, kind: str) -> None:
    job = Job(is_shell=False, shellcmd=None)
    setattr(job, kind, True)
    (part,) = reader(work).step(job).commands
    assert (part.image, list(part.words)) == ("snakemake:9", ["--cores", "1"])
    assert "/engines/snakemake/bin/snakemake" in part.script
    own = reader(work).step(Job(is_shell=False, container_img_url="docker://mine:1")).commands[0]
    assert own.image == "mine:1"


def test_a_conda_rule_is_left_to_snakemake_unless_it_has_an_image_or_conda_is_off(work: Path) -> None:
    rule = Rule(conda_env="env.yml")
    (part,) = reader(work).step(Job(rule=rule)).commands
    assert list(part.words) == ["--cores", "1", "--software-deployment-method", "conda"]
    assert not reader(work).step(Job(rule=rule, container_img_url="docker://mine:1")).commands[0].nested
    assert not reader(work, conda=False).step(Job(rule=rule)).commands[0].nested


@pytest.mark.parametrize("image", ["debian:12", "continuumio/miniconda3:4.8.2", "quay.io:443/a/b_c:1--0"])
def test_an_image_of_a_registry_needs_no_scheme(work: Path, image: str) -> None:
    assert reader(work).step(Job(container_img_url=image)).commands[0].image == image


@pytest.mark.parametrize("image", ["image.sif", "shub://a/b", "oras://a/b", "/images/a", "../a.img", "a b"])
def test_an_image_that_is_no_registrys_is_refused_by_name(work: Path, image: str) -> None:
    with pytest.raises(UnsupportedRule, match="the rule align wants the container"):
        reader(work).step(Job(container_img_url=image))


def test_inputs_that_are_there_and_all_attachments_are_the_tasks(work: Path) -> None:
    attachments = work.parent / "attachments"
    (attachments / "a.txt").write_text("x")
    (work / "a.txt").symlink_to(attachments / "a.txt")
    (work / "made.txt").write_text("x")
    (work / "parts").mkdir()
    job = Job(input=("a.txt", "made.txt", "gone.txt"))
    assert reader(work).step(job).inputs == (attachments, work / "made.txt")
    config = work / ".wes/config.json"
    assert reader(work).step(Job(is_shell=False)).inputs == (attachments, config, work / "parts")


def test_a_shell_command_gets_the_data_of_its_rule_and_the_sources_but_no_data_of_others(work: Path) -> None:
    attachments = work.parent / "attachments"
    declared = ("reads/a.fq", "reads/b.fq", "ref/g.fa", "ref/g.fa.fai", "table.tsv")
    for name in ("Snakefile", "scripts/run.sh", "scripts/lib/own.py", "ref/README", *declared):
        (attachments / name).parent.mkdir(parents=True, exist_ok=True)
        (attachments / name).write_text("x")
    job = Job(input=("reads/a.fq",), shellcmd="sh scripts/run.sh --index='ref/g.fa' reads/a.fq > out.txt")
    step = reader(work, declared=declared).step(job)
    given = ("Snakefile", "reads/a.fq", "ref/README", "ref/g.fa", "scripts")
    assert step.inputs == tuple(attachments / name for name in given)
    script = step.commands[0].script
    assert "attached reads a.fq" in script
    assert "attached scripts/lib own.py" in script
    assert "b.fq" not in script
    # What Snakemake itself runs reads the whole workflow again.
    assert reader(work, declared=declared).step(Job(is_shell=False)).inputs[0] == attachments


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("cat reads/*.fq", {"reads/a.fq", "reads/b.fq"}),
        ("cat *.tsv", {"table.tsv"}),
        ("tool --in=reads,x", {"reads/a.fq", "reads/b.fq", "reads/deep/c"}),
        ("f='{attachments}/table.tsv'; cat \"$f\"", {"table.tsv"}),
        ("cat ./reads/../table.tsv", {"table.tsv"}),
        ("find . ; cat /etc/passwd a.fq", set()),
    ],
)
def test_a_command_names_attachments_in_many_ways(work: Path, command: str, found: set[str]) -> None:
    names = ("reads/a.fq", "reads/b.fq", "reads/deep/c", "table.tsv")
    attachments = Attachments(folder=work.parent / "attachments", work=work, names=names)
    assert attachments.in_command(command.format(attachments=attachments.folder)) >= found
    assert bool(attachments.in_command(command.format(attachments=attachments.folder))) == bool(found)


def test_outputs_logs_and_directories(work: Path) -> None:
    parts = Flagged.of("parts", directory=True)
    pipe = Flagged.of("middle", pipe=True)
    made = reader(work).step(Job(output=("x.txt", parts), log=("logs/a.log",)))
    assert made.outputs == (work / "x.txt", work / "parts", work / "logs/a.log")
    assert made.directories == {work / "parts"}
    assert reader(work).step(Job(output=("x.txt", pipe))).outputs == (work / "x.txt",)


def test_an_output_that_is_updated_is_an_input_too(work: Path) -> None:
    (work / "sum.txt").write_text("1")
    made = reader(work).step(Job(output=(Flagged.of("sum.txt", update=True),)))
    assert work / "sum.txt" in made.inputs


def test_a_benchmark_of_a_shell_rule_is_made_of_its_times(work: Path) -> None:
    step = reader(work).step(Job(benchmark="b.tsv", benchmark_repeats=3))
    assert (step.commands[0].times, step.commands[0].benchmark) == (3, "b.tsv")
    assert work / "b.tsv" not in step.outputs
    nested = reader(work).step(Job(is_shell=False, benchmark="b.tsv", benchmark_repeats=3))
    assert nested.commands[0].times == 1
    assert work / "b.tsv" in nested.outputs


def test_a_group_has_a_part_for_each_job(work: Path) -> None:
    first = Job(rule=Rule(name="a"), output=("a.txt",), container_img_url="docker://one:1")
    second = Job(rule=Rule(name="b"), input=("a.txt",), output=("b.txt",))
    (work / "a.txt").write_text("of an earlier run")
    step = reader(work).step(Group(jobs=(first, second)))
    assert [part.image for part in step.commands] == ["one:1", "default:1"]
    assert work / "a.txt" not in step.inputs
    assert step.resources["cpu_cores"] == 2


def test_jobs_that_are_joined_by_a_pipe_run_in_one_command(work: Path) -> None:
    middle = Flagged.of("middle", pipe=True)
    jobs = (Job(rule=Rule(name="a"), output=(middle,)), Job(rule=Rule(name="b"), input=(middle,), output=("b.txt",)))
    step = reader(work).step(Group(jobs=jobs))
    assert [part.nested for part in step.commands] == [True]
    assert step.name == "a, b"


def test_names_are_those_of_the_workflow() -> None:
    assert step_name(Job()) == "align"
    assert step_name(Job(wildcards_dict={"sample": "A", "lane": "2"})) == "align (sample=A, lane=2)"
    jobs = (Job(rule=Rule(name="a"), wildcards_dict={"s": "A"}), Job(rule=Rule(name="b"), wildcards_dict={"s": "A"}))
    assert step_name(Group(jobs=jobs)) == "pair: a, b (s=A)"


def test_only_what_a_rule_says_is_asked_for() -> None:
    assert tes_resources(1, {"_cores": 1, "tmpdir": "/tmp"}) == {}
    wanted = {"mem_mb": 1500, "disk_mb": 2000, "gpu": 2}
    assert tes_resources(4, wanted) == {
        "cpu_cores": 4,
        "ram_gb": 1.5,
        "disk_gb": 2.0,
        "backend_parameters": {"gpu": "2"},
    }


@pytest.mark.parametrize("value", ["<TBD>", None, 0, True])
def test_what_is_no_amount_is_left_out(value: object) -> None:
    assert tes_resources(1, {"mem_mb": value, "gpu": value}) == {}
    assert time_limit({"runtime": value}) is None


def test_runtime_is_in_minutes() -> None:
    assert time_limit({"runtime": 2}) == 120
