"""From a job of Snakemake's to a step. Only reads the job's own properties; nothing here imports Snakemake."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.snakemake.executor.attachments import Attachments
from engines.snakemake.executor.files import is_attached
from engines.snakemake.executor.rule_script import RuleScript, ScriptInTask
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
IMAGE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]*)?")
IMAGE_FILES = (".sif", ".simg", ".img", ".tar")
STRICT_SHELL = "set -euo pipefail; "
SCRIPTS = (("is_script", "a script:"), ("is_notebook", "a notebook:"), ("is_wrapper", "a wrapper:"))
NEEDS_SNAKEMAKE = (("is_cwl", "a cwl:"), ("is_template_engine", "a template_engine:"))
NEVER_STORED = frozenset({"pipe", "service"})


class UnsupportedRule(Exception):
    """The message says which rule needs what is not there, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A job of a step. `scripts`: what it runs in place of a shell command, one for each time that it runs."""

    job: Any
    scripts: tuple[RuleScript, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JobReader:
    """Makes steps of jobs. `nested_arguments`: Snakemake's arguments for a job that it is to run inside its task.
    `rule_script`: the script of a job, for the repetition of its benchmark with this number, if any.
    `declared`: the attachments that are inputs of any job, as far as jobs are known."""

    settings: SnakemakeSettings
    attachments: Attachments
    declared: Callable[[], frozenset[str]]
    nested_arguments: Callable[[Any], Sequence[str]]
    rule_script: Callable[[Any, int | None], RuleScript]
    shell_prefix: Callable[[], str]
    checkpoint_outputs: Callable[[], Iterable[str]]

    def step(self, job: Any) -> Step:
        """Raises `UnsupportedRule`."""
        jobs = _members(job)
        whole = any(_is_joined(one) for one in jobs)
        members = [Member(job=one, scripts=() if whole else self._scripts(one)) for one in jobs]
        commands = (
            [self._nested_group(job, jobs)] if whole else [each for one in members for each in self._commands(one)]
        )
        outputs, directories = self._outputs(jobs)
        return Step(
            name=step_name(job),
            attempt=job.attempt,
            work=self.settings.work,
            commands=tuple(commands),
            inputs=tuple(self._inputs(members, nested=any(command.nested for command in commands))),
            outputs=outputs,
            directories=directories,
            declared=tuple(str(path) for one in jobs for path in one.input),
            resources=tes_resources(job.resources.get("_cores", 1), dict(job.resources.items())),
            modules=self.settings.modules_file if any(_in_python(one) for one in members) else None,
        )

    def needs_snakemake(self, job: Any) -> bool:
        """Whether Snakemake runs the job, inside its task; where not, it is a shell command or a script."""
        return self._needs_conda(job) or not (job.is_shell or _kind(job, SCRIPTS))

    def _needs_conda(self, job: Any) -> bool:
        return bool(self.settings.conda and job.rule.conda_env and not job.container_img_url)

    def _scripts(self, job: Any) -> tuple[RuleScript, ...]:
        if job.is_shell or self.needs_snakemake(job):
            return ()
        repeats = range(job.benchmark_repeats or 1) if job.benchmark else (None,)
        return tuple(self.rule_script(job, repeat) for repeat in repeats)

    def _commands(self, member: Member) -> list[StepCommand]:
        if self.needs_snakemake(member.job):
            return [self._nested(member.job)]
        return [self._script(member, each) for each in member.scripts] or [self._shell(member)]

    def _shell(self, member: Member) -> StepCommand:
        job = member.job
        return StepCommand(
            image=self._image(job),
            script=script(self._script_context(member)),
            words=self._shell_words(job.shellcmd),
            environment=_environment(job.threads),
            times=(job.benchmark_repeats or 1) if job.benchmark else 1,
            benchmark=str(job.benchmark) if job.benchmark else None,
        )

    def _script(self, member: Member, rule_script: RuleScript) -> StepCommand:
        job = member.job
        # Snakemake runs it with its own Python, which has more packages than most.
        own = job.container_img_url or not rule_script.in_python
        image = self._image(job) if own else self.settings.nested_image
        source = ScriptInTask(
            rule=job.rule.name,
            kind=_kind(job, SCRIPTS),
            image=image,
            python=self.settings.environment / "bin" / "python",
            script=rule_script,
        )
        return StepCommand(
            image=image,
            script=script(self._script_context(member, source=source)),
            words=self._shell_words(rule_script.command),
            environment=_environment(job.threads),
            benchmark=str(job.benchmark) if job.benchmark else None,
            source=rule_script.text,
        )

    def _shell_words(self, text: str) -> tuple[str, ...]:
        prefix = self.shell_prefix()
        if prefix == STRICT_SHELL:
            return ("bash", "-euo", "pipefail", "-c", text)
        return ("bash", "-c", prefix + text)

    def _nested(self, job: Any) -> StepCommand:
        conda = self._needs_conda(job)
        image = self._image(job) if job.container_img_url else self.settings.nested_image
        kind = "a conda:" if conda else _kind(job, NEEDS_SNAKEMAKE) or "a run:"
        nested = NestedSnakemake(rule=job.rule.name, kind=kind, image=image, program=self._program, conda=conda)
        arguments = [*self.nested_arguments(job), *(["--software-deployment-method", "conda"] if conda else [])]
        context = self._script_context(Member(job=job), nested=nested)
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

    def _script_context(
        self, member: Member, *, nested: NestedSnakemake | None = None, source: ScriptInTask | None = None
    ) -> ScriptContext:
        job = member.job
        outputs = list(map(str, job.output))
        touched = [str(path) for path in job.output if _flagged(path, "touch")]
        return ScriptContext(
            rule=job.rule.name,
            attachments=self.settings.attachments,
            links=self._links(outputs, self._all_attached if nested else self._needed(member)),
            outputs=outputs,
            directories=[str(path) for path in job.output if _flagged(path, "directory")],
            logs=[] if nested else list(map(str, job.log)),
            touched=[] if nested else touched,
            nested=nested,
            source=source,
        )

    def _links(self, outputs: Iterable[str], needed: frozenset[str]) -> list[str]:
        made = {os.path.normpath(path) for path in outputs}
        return [name for name in self.attachments.names if name in needed and name not in made]

    @property
    def _all_attached(self) -> frozenset[str]:
        """What a Snakemake inside a task needs, as it reads the whole workflow again."""
        return frozenset(self.attachments.names)

    def _needed(self, member: Member) -> frozenset[str]:
        """The attachments that a shell command or a script needs."""
        job, attached = member.job, self.attachments
        own = attached.named_by(map(str, (*job.input, *_updated(job)))) | attached.in_command(job.shellcmd or "")
        # What differs between repetitions names no file.
        for each in member.scripts[:1]:
            own |= attached.in_command(each.text) | attached.named_by(each.names)
        return own | (self._all_attached - self.declared())

    def _image(self, job: Any) -> str:
        url = job.container_img_url
        if not url:
            return self.settings.default_image
        image = str(url)
        if image.startswith(DOCKER_URL):
            return image.removeprefix(DOCKER_URL)
        # Without its scheme it is a file for Snakemake; what can't be one is meant as an image of a registry.
        if IMAGE_NAME.fullmatch(image) and not image.endswith(IMAGE_FILES):
            return image
        raise UnsupportedRule(
            f"the rule {job.rule.name} wants the container {image!r}, which no TES can run: "
            "give it an image of a registry, as in container: 'docker://NAME:TAG'"
        )

    def _inputs(self, members: Sequence[Member], *, nested: bool) -> Iterable[Path]:
        attachments, jobs = self.settings.attachments, [member.job for member in members]
        needed = [self._all_attached] if nested else map(self._needed, members)
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
        files += [str(job.benchmark) for job in jobs if job.benchmark and self.needs_snakemake(job)]
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


def _kind(job: Any, kinds: Iterable[tuple[str, str]]) -> str:
    """What the rule has instead of a shell command; empty where that is none of these."""
    return next((kind for name, kind in kinds if getattr(job, name)), "")


def _in_python(member: Member) -> bool:
    return any(each.in_python for each in member.scripts)


def _environment(threads: int) -> Mapping[str, str]:
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def _flagged(path: Any, flag: str) -> bool:
    return bool(getattr(path, "flags", {}).get(flag))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
