"""From a job of Snakemake's to a step. Only reads the job's own properties; nothing here imports Snakemake."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.snakemake.executor.attachments import Attachments
from engines.snakemake.executor.files import is_attached
from engines.snakemake.executor.script import NestedSnakemake, ScriptContext, script
from engines.snakemake.executor.settings import SnakemakeSettings
from engines.snakemake.executor.step import Step, StepCommand

MB_PER_GB = 1000
SECONDS_PER_MINUTE = 60
GPU_RESOURCES = ("gpu", "gpus", "nvidia_gpu")
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
DOCKER_URL = "docker://"
STRICT_SHELL = "set -euo pipefail; "
NEEDS_SNAKEMAKE = (
    ("is_script", "a script:"),
    ("is_notebook", "a notebook:"),
    ("is_wrapper", "a wrapper:"),
    ("is_cwl", "a cwl:"),
    ("is_template_engine", "a template_engine:"),
)
NEVER_STORED = frozenset({"pipe", "service"})


class UnsupportedRule(Exception):
    """The message says which rule needs what is not there, and what to do."""


@dataclass(frozen=True, kw_only=True)
class JobReader:
    """Makes steps of jobs. `nested_arguments`: Snakemake's arguments for a job that it is to run inside its task.
    `declared`: the attachments that are inputs of any job, as far as jobs are known."""

    settings: SnakemakeSettings
    attachments: Attachments
    declared: Callable[[], frozenset[str]]
    nested_arguments: Callable[[Any], Sequence[str]]
    shell_prefix: Callable[[], str]
    checkpoint_outputs: Callable[[], Iterable[str]]

    def step(self, job: Any) -> Step:
        """Raises `UnsupportedRule`."""
        jobs = _members(job)
        whole = any(_is_joined(one) for one in jobs)
        commands = [self._nested_group(job, jobs)] if whole else [self._command(one) for one in jobs]
        outputs, directories = self._outputs(jobs)
        return Step(
            name=step_name(job),
            attempt=job.attempt,
            work=self.settings.work,
            commands=tuple(commands),
            inputs=tuple(self._inputs(jobs, nested=any(command.nested for command in commands))),
            outputs=outputs,
            directories=directories,
            declared=tuple(str(path) for one in jobs for path in one.input),
            resources=tes_resources(job.resources.get("_cores", 1), dict(job.resources.items())),
        )

    def is_shell(self, job: Any) -> bool:
        """Whether the job's command can run as it is; all others need Snakemake inside their task."""
        return bool(job.is_shell) and not self._needs_conda(job) and not job.is_group()

    def _needs_conda(self, job: Any) -> bool:
        return bool(self.settings.conda and job.rule.conda_env and not job.container_img_url)

    def _command(self, job: Any) -> StepCommand:
        return self._shell(job) if self.is_shell(job) else self._nested(job)

    def _shell(self, job: Any) -> StepCommand:
        prefix = self.shell_prefix()
        command = ["bash", "-euo", "pipefail", "-c"] if prefix == STRICT_SHELL else ["bash", "-c"]
        text = job.shellcmd if prefix == STRICT_SHELL else prefix + job.shellcmd
        return StepCommand(
            image=self._image(job),
            script=script(self._script_context(job)),
            words=(*command, text),
            environment=_environment(job.threads),
            times=(job.benchmark_repeats or 1) if job.benchmark else 1,
            benchmark=str(job.benchmark) if job.benchmark else None,
        )

    def _nested(self, job: Any) -> StepCommand:
        conda = self._needs_conda(job)
        image = self._image(job) if job.container_img_url else self.settings.nested_image
        nested = NestedSnakemake(rule=job.rule.name, kind=_kind(job), image=image, program=self._program, conda=conda)
        arguments = [*self.nested_arguments(job), *(["--software-deployment-method", "conda"] if conda else [])]
        context = self._script_context(job, nested)
        return StepCommand(
            image=image, script=script(context), words=arguments, environment=_environment(job.threads), nested=True
        )

    def _nested_group(self, job: Any, jobs: Sequence[Any]) -> StepCommand:
        name = ", ".join(one.rule.name for one in jobs)
        image = next((self._image(one) for one in jobs if one.container_img_url), self.settings.nested_image)
        nested = NestedSnakemake(rule=name, kind="a pipe() or service() output", image=image, program=self._program)
        outputs = [path for one in jobs for path in _kept(one.output)]
        context = ScriptContext(
            rule=name,
            attachments=self.settings.attachments,
            links=self._links(outputs, self._all_attached),
            nested=nested,
            outputs=outputs,
        )
        arguments = self.nested_arguments(job)
        return StepCommand(
            image=image, script=script(context), words=arguments, environment=_environment(job.threads), nested=True
        )

    @property
    def _program(self) -> Path:
        return self.settings.environment / "bin" / "snakemake"

    def _script_context(self, job: Any, nested: NestedSnakemake | None = None) -> ScriptContext:
        outputs = list(map(str, job.output))
        touched = [str(path) for path in job.output if _flagged(path, "touch")]
        return ScriptContext(
            rule=job.rule.name,
            attachments=self.settings.attachments,
            links=self._links(outputs, self._all_attached if nested else self._needed(job)),
            outputs=outputs,
            directories=[str(path) for path in job.output if _flagged(path, "directory")],
            logs=[] if nested else list(map(str, job.log)),
            touched=[] if nested else touched,
            nested=nested,
        )

    def _links(self, outputs: Iterable[str], needed: frozenset[str]) -> list[str]:
        made = {os.path.normpath(path) for path in outputs}
        return [name for name in self.attachments.names if name in needed and name not in made]

    @property
    def _all_attached(self) -> frozenset[str]:
        """What a Snakemake inside a task needs, as it reads the whole workflow again."""
        return frozenset(self.attachments.names)

    def _needed(self, job: Any) -> frozenset[str]:
        """The attachments that a shell command needs."""
        attached = self.attachments
        own = attached.named_by(map(str, (*job.input, *_updated(job)))) | attached.in_command(job.shellcmd)
        return own | (self._all_attached - self.declared())

    def _image(self, job: Any) -> str:
        url = job.container_img_url
        if not url:
            return self.settings.default_image
        image = str(url)
        if image.startswith(DOCKER_URL):
            return image.removeprefix(DOCKER_URL)
        raise UnsupportedRule(
            f"the rule {job.rule.name} wants the container {image!r}, which no TES can run: "
            "give it an image of a registry, as in container: 'docker://NAME:TAG'"
        )

    def _inputs(self, jobs: Sequence[Any], *, nested: bool) -> Iterable[Path]:
        attachments = self.settings.attachments
        needed = [self._all_attached] if nested else map(self._needed, jobs)
        yield from self.attachments.cover(frozenset().union(*needed))
        if nested:
            yield self.settings.config_file
        made = {str(path) for job in jobs for path in job.output if not _flagged(path, "update")}
        inputs = [str(path) for job in jobs for path in (*job.input, *_updated(job))]
        inputs += self.checkpoint_outputs() if nested else []
        for name in inputs:
            path = Path(os.path.normpath(self.settings.work / name))
            if name not in made and path.exists() and not is_attached(str(path), attachments):
                yield path

    def _outputs(self, jobs: Sequence[Any]) -> tuple[tuple[Path, ...], frozenset[Path]]:
        files = [path for job in jobs for path in (*_kept(job.output), *map(str, job.log))]
        files += [str(job.benchmark) for job in jobs if job.benchmark and not self.is_shell(job)]
        folders = {str(path) for job in jobs for path in job.output if _flagged(path, "directory")}
        return tuple(map(self._absolute, dict.fromkeys(files))), frozenset(map(self._absolute, folders))

    def _absolute(self, name: str) -> Path:
        return Path(os.path.normpath(self.settings.work / name))


def step_name(job: Any) -> str:
    """As the workflow's author knows it: `align (sample=A)`; for a group `GROUP: align, sort (sample=A)`."""
    jobs = _members(job)
    wildcards = {name: value for one in jobs for name, value in one.wildcards_dict.items()}
    values = f" ({', '.join(f'{name}={value}' for name, value in wildcards.items())})" if wildcards else ""
    rules = ", ".join(dict.fromkeys(one.rule.name for one in jobs))
    named = job.is_group() and not any(_is_joined(one) for one in jobs)
    return f"{job.groupid}: {rules}{values}" if named else f"{rules}{values}"


def tes_resources(threads: int, requested: Mapping[str, Any]) -> dict[str, Any]:
    """Only what the rule says: one thread is what every rule has that says nothing.

    TES has no field for graphics cards: their number is a backend parameter.
    """
    amounts: dict[str, Any] = {"cpu_cores": int(threads)} if threads > 1 else {}
    for name, field in (("mem_mb", "ram_gb"), ("disk_mb", "disk_gb")):
        amount = _number(requested.get(name))
        if amount is not None:
            amounts[field] = amount / MB_PER_GB
    gpus = next((count for name in GPU_RESOURCES if (count := _number(requested.get(name)))), None)
    if gpus:
        amounts["backend_parameters"] = {"gpu": str(int(gpus))}
    return amounts


def time_limit(requested: Mapping[str, Any]) -> float | None:
    """Seconds; Snakemake's `runtime` is minutes."""
    minutes = _number(requested.get("runtime"))
    return minutes * SECONDS_PER_MINUTE if minutes else None


def _members(job: Any) -> list[Any]:
    """The job, or the jobs of a group in an order in which they can run."""
    return [one for level in job.toposorted for one in level] if job.is_group() else [job]


def _is_joined(job: Any) -> bool:
    """Whether it runs at the same time as another one."""
    return any(_flagged(path, flag) for path in (*job.input, *job.output) for flag in NEVER_STORED)


def _kept(outputs: Iterable[Any]) -> list[str]:
    return [str(path) for path in outputs if not any(_flagged(path, flag) for flag in NEVER_STORED)]


def _updated(job: Any) -> list[str]:
    return [str(path) for path in job.output if _flagged(path, "update")]


def _kind(job: Any) -> str:
    if job.is_shell:
        return "a conda:"
    return next((kind for name, kind in NEEDS_SNAKEMAKE if getattr(job, name)), "a run:")


def _environment(threads: int) -> Mapping[str, str]:
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def _flagged(path: Any, flag: str) -> bool:
    return bool(getattr(path, "flags", {}).get(flag))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
