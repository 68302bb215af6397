"""The executor plugin: hands each job to the TES, and waits for it in a thread of its own."""

import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from snakemake.common import async_run
from snakemake.shell import shell
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecMode, ExecutorSettingsBase

from engines.kit.reports import Failure, report
from engines.kit.tasks import COMPLETE, RunStopped, TimeLimitExceeded
from engines.kit.tes_client import TesRefused, TesUnreachable
from engines.snakemake.executor.attachments import Attachments
from engines.snakemake.executor.failure import explained
from engines.snakemake.executor.files import attached_files, executor_seconds, write_benchmark
from engines.snakemake.executor.job import JobReader, UnsupportedRule, step_name, time_limit
from engines.snakemake.executor.preamble import rule_script, write_modules
from engines.snakemake.executor.rule_script import RuleScript
from engines.snakemake.executor.settings import SnakemakeRun
from engines.snakemake.executor.step import Step

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
    pass_default_resources_args=False,
    pass_group_args=True,
    init_seconds_before_status_checks=0,
)


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Handed over by `run`; nothing of it comes from a command line."""

    run: Any = None


class Executor(RealExecutor):
    """See `AbstractExecutor` of Snakemake's interface."""

    def __post_init__(self) -> None:
        self._context: SnakemakeRun = self.workflow.executor_settings.run
        settings = self._context.settings
        # Local rules and templates too: only a rule that does nothing stays here.
        self.workflow.is_local = lambda rule: rule.group is None and rule.norun
        names = attached_files(settings.attachments)
        self._attachments = Attachments(folder=settings.attachments, work=settings.work, names=names)
        self._declared: tuple[int, frozenset[str]] = (0, frozenset())
        self._reader = JobReader(
            settings=settings,
            attachments=self._attachments,
            declared=self._declared_attachments,
            nested_arguments=self._nested_arguments,
            rule_script=self._rule_script,
            shell_prefix=shell._get_process_prefix,  # noqa: SLF001 - it has no public name
            checkpoint_outputs=self._checkpoint_outputs,
        )
        self._pool = ThreadPoolExecutor(settings.parallel, thread_name_prefix="task")
        # Asked once: a checkpoint that has run is among those that need no run, later.
        self._cached = sum(1 for job in self.dag.jobs if not job.rule.norun and not self.dag.needrun(job))
        self._count()

    def run_jobs(self, jobs: Sequence[Any]) -> None:
        # The scheduler has taken SIGTERM by now, to end when all jobs have, which may be in hours.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
        self._count()
        super().run_jobs(jobs)

    def run_job(self, job: Any) -> None:
        info = SubmittedJobInfo(job=job)
        self.report_job_submission(info)
        self._context.progress.started(len(job))
        try:
            step = self._reader.step(job)
        except UnsupportedRule as error:
            self._failed(info, Failure(kind="unsupported", sentence=str(error), step=step_name(job)), again=False)
            return
        self._pool.submit(self._follow, info, step)

    def handle_job_success(self, job: Any) -> None:
        super().handle_job_success(job)
        self._context.progress.ended(len(job), good=True, again=False)

    def handle_job_error(self, job: Any) -> None:
        super().handle_job_error(job)
        self._context.progress.ended(len(job), good=False, again=self._again(job))

    def shutdown(self) -> None:
        self._pool.shutdown(wait=True)

    def cancel(self) -> None:
        self._context.tasks.cancel_all()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def cores(self) -> int:
        return 1

    def get_exec_mode(self) -> ExecMode:
        return ExecMode.REMOTE

    def get_python_executable(self) -> str:
        return "python"

    def _follow(self, info: SubmittedJobInfo, step: Step) -> None:
        job = info.job
        failure = self._run(job, step)
        if failure is None:
            self.report_job_success(info)
        else:
            self._failed(info, failure, again=self._again(job))

    def _again(self, job: Any) -> bool:
        """Whether Snakemake tries a failed job once more."""
        return bool(job.restart_times > job.attempt - 1) and not self._context.tasks.stopped

    def _run(self, job: Any, step: Step) -> Failure | None:
        """None where it went well."""
        limit = time_limit(dict(job.resources.items()))
        try:
            self._make_room(job, step)
            for path, text in step.long_texts().items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            outcome = self._context.tasks.run(step.task(), limit)
            if outcome.state == COMPLETE:
                self._benchmark(step, outcome.document)
                return None
            return Failure(
                kind="step",
                sentence=outcome.sentence(step.name),
                step=step.name,
                task_id=outcome.task_id,
                exit_code=outcome.exit_code,
            )
        except RunStopped:
            return Failure(kind="step", sentence=f"the step '{step.name}' was stopped", step=step.name)
        except TimeLimitExceeded as error:
            sentence = f"the step '{step.name}' (task {error}) ran for longer than its runtime of {limit:g} seconds"
            return Failure(kind="step", sentence=sentence, step=step.name, task_id=str(error))
        except (TesRefused, TesUnreachable) as error:
            return Failure(kind="tes", sentence=f"the step '{step.name}' could not be run: {error}", step=step.name)
        except Exception as error:  # noqa: BLE001 - a thread that ends silently would leave Snakemake waiting for ever
            return Failure(kind="engine", sentence=f"the step '{step.name}' failed here: {error!r}", step=step.name)

    def _make_room(self, job: Any, step: Step) -> None:
        """Removes outputs of an earlier time, unless the task that has made them, or is about to, is this very step's,
        from before the engine was started again."""
        if not (self._context.started_before and self._context.tasks.knows(step.key)):
            async_run(job.remove_existing_output())

    def _benchmark(self, step: Step, task: Any) -> None:
        seconds = executor_seconds(task)
        times: dict[str, list[float | None]] = {}
        for command in step.commands:
            repeats = list(islice(seconds, command.times))
            if command.benchmark:
                times.setdefault(command.benchmark, []).extend(repeats)
        for name, repeats in times.items():
            write_benchmark(self._context.settings.work / name, repeats)

    def _failed(self, info: SubmittedJobInfo, failure: Failure, *, again: bool) -> None:
        report(failure.sentence)
        if not again:
            self._context.failures.add(failure)
            if self._context.settings.on_error == "stop":
                # Not in this thread: canceling the others must not hold up the news.
                threading.Thread(target=self._context.tasks.cancel_all, daemon=True).start()
        self.report_job_error(info, msg=failure.sentence)

    def _rule_script(self, job: Any, repeat: int | None) -> RuleScript:
        try:
            made = rule_script(job, repeat)
        except Exception as error:
            reason = explained(error, {})
            raise UnsupportedRule(f"the script of the rule {job.rule.name} can't be prepared: {reason}") from error
        modules = self._context.settings.modules_file
        if made.in_python and not modules.exists():
            write_modules(modules)
        return made

    def _nested_arguments(self, job: Any) -> list[str]:
        general = self.workflow.spawned_job_args_factory.general_args(executor_common_settings=common_settings)
        words = shlex.split(f"{self.get_job_args(job, cores=max(1, job.threads))} {general}")
        return ["--snakefile", str(self.snakefile), *words, "--mode", "remote", "--show-failed-logs"]

    def _checkpoint_outputs(self) -> Iterator[str]:
        for job in self.dag.checkpoint_jobs:
            if self.dag.finished(job) or not self.dag.needrun(job):
                yield from map(str, job.output)

    def _declared_attachments(self) -> frozenset[str]:
        """Those of all jobs, which a checkpoint adds to, and the workflow's own documents: a shell command gets those
        that it names, so that a rule can be mended while the steps of others stay the same."""
        jobs = self.dag.jobs
        if len(jobs) != self._declared[0]:
            inputs = (str(path) for job in jobs if not job.rule.norun for path in job.input)
            documents = map(str, self.workflow.linemaps)
            self._declared = (len(jobs), self._attachments.named_by(chain(inputs, documents)))
        return self._declared[1]

    def _count(self) -> None:
        remaining = sum(1 for job in self.dag.needrun_jobs() if not job.rule.norun)
        self._context.progress.set_remaining(remaining, self._cached)
