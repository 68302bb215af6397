"""The executor plugin: hands each job to the TES, and waits for it in a thread of its own."""

import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from snakemake.common import async_run
from snakemake.shell import shell
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecMode, ExecutorSettingsBase

from engines.cwl.executor.failure import Failure, Failures
from engines.cwl.executor.outcome import COMPLETE, outcome_of, sentence
from engines.cwl.executor.report import report
from engines.cwl.executor.tasks import RunStopped, Tasks, TimeUp
from engines.cwl.executor.tes_client import TesRefused, TesUnreachable

from .attachments import attached_files
from .benchmark import seconds, write_benchmark
from .job import JobReader, Unsupported, step_name
from .progress import Progress
from .resources import time_limit
from .settings import RunSettings
from .step import Step

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

    services: Any = None


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the executor works with."""

    settings: RunSettings
    tasks: Tasks
    failures: Failures
    progress: Progress


class Executor(RealExecutor):
    """See `AbstractExecutor` of Snakemake's interface."""

    def __post_init__(self) -> None:
        self._services: Services = self.workflow.executor_settings.services
        settings = self._services.settings
        # Local rules and templates too: only a rule that does nothing stays here.
        self.workflow.is_local = lambda rule: rule.group is None and rule.norun
        self._reader = JobReader(
            settings=settings,
            links=attached_files(settings.attachments),
            nested_arguments=self._nested_arguments,
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
        async_run(job.remove_existing_output())
        info = SubmittedJobInfo(job=job)
        self.report_job_submission(info)
        self._services.progress.started(len(job))
        try:
            step = self._reader.step(job)
        except Unsupported as error:
            self._failed(info, Failure(kind="unsupported", sentence=str(error), step=step_name(job)), again=False)
            return
        self._pool.submit(self._follow, info, step)

    def handle_job_success(self, job: Any) -> None:
        super().handle_job_success(job)
        self._services.progress.ended(len(job), good=True, again=False)

    def handle_job_error(self, job: Any) -> None:
        super().handle_job_error(job)
        self._services.progress.ended(len(job), good=False, again=self._again(job))

    def shutdown(self) -> None:
        self._pool.shutdown(wait=True)

    def cancel(self) -> None:
        self._services.tasks.cancel_all()
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
        return bool(job.restart_times > job.attempt - 1) and not self._services.tasks.stopped

    def _run(self, job: Any, step: Step) -> Failure | None:
        """None where it went well."""
        limit = time_limit(dict(job.resources.items()))
        try:
            for path, text in step.long_texts().items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            task_id, task = self._services.tasks.run(step.task(), limit)
            outcome = outcome_of(task_id, task)
            if outcome.state == COMPLETE:
                self._benchmark(step, task)
                return None
            told, code = sentence(step.name, outcome), outcome.exit_code
            return Failure(kind="step", sentence=told, step=step.name, task_id=task_id, exit_code=code)
        except RunStopped:
            return Failure(kind="step", sentence=f"the step '{step.name}' was stopped", step=step.name)
        except TimeUp as error:
            told = f"the step '{step.name}' (task {error}) ran for longer than its runtime of {limit:g} seconds"
            return Failure(kind="step", sentence=told, step=step.name, task_id=str(error))
        except (TesRefused, TesUnreachable) as error:
            return Failure(kind="tes", sentence=f"the step '{step.name}' could not be run: {error}", step=step.name)
        except Exception as error:  # noqa: BLE001 - a thread that ends silently would leave Snakemake waiting for ever
            return Failure(kind="engine", sentence=f"the step '{step.name}' failed here: {error!r}", step=step.name)

    def _benchmark(self, step: Step, task: Any) -> None:
        times = seconds(task)
        for part in step.parts:
            ran = list(islice(times, part.times))
            if part.benchmark:
                write_benchmark(self._services.settings.work / part.benchmark, ran)

    def _failed(self, info: SubmittedJobInfo, failure: Failure, *, again: bool) -> None:
        report(failure.sentence)
        if not again:
            self._services.failures.add(failure)
            if self._services.settings.on_error == "stop":
                # Not in this thread: canceling the others must not hold up the news.
                threading.Thread(target=self._services.tasks.cancel_all, daemon=True).start()
        self.report_job_error(info, msg=failure.sentence)

    def _nested_arguments(self, job: Any) -> list[str]:
        general = self.workflow.spawned_job_args_factory.general_args(executor_common_settings=common_settings)
        words = shlex.split(f"{self.get_job_args(job, cores=max(1, job.threads))} {general}")
        return ["--snakefile", str(self.snakefile), *words, "--mode", "remote", "--show-failed-logs"]

    def _checkpoint_outputs(self) -> Iterator[str]:
        for job in self.dag.checkpoint_jobs:
            if self.dag.finished(job) or not self.dag.needrun(job):
                yield from map(str, job.output)

    def _count(self) -> None:
        remaining = sum(1 for job in self.dag.needrun_jobs() if not job.rule.norun)
        self._services.progress.remaining(remaining, self._cached)
