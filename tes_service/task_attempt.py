"""One task from its inputs to its outputs, in a thread of its own: what happens in which order, and what it ends in."""

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sandbox.monitor import ResourceMonitor, Workload, memory_message
from tes.task import TaskState
from tes_service.admission import TaskLimits
from tes_service.errors import AttemptLost, TaskFault, TaskStopped
from tes_service.inputs import StagingContext, staged
from tes_service.layout import Layout
from tes_service.outputs import OutputDelivery
from tes_service.processes import ExecutorStreams, RunningExecutor, TaskControl
from tes_service.runners.choose import RUNNER_ENTRY, AvailableRunners
from tes_service.runners.port import LIMIT_NAMES, ExecutorRequest, Runner
from tes_service.task_log import Capture, TaskLogWriter, open_streams
from tes_service.task_request import TaskRequest

Start = Callable[[ExecutorRequest], RunningExecutor | None]
KILLED = 128 + 9
"""The exit code of an executor that was killed, as a shell tells it."""


@dataclass(frozen=True, kw_only=True)
class AttemptContext:
    """What every attempt works with; one for the whole server."""

    staging: StagingContext
    delivery: OutputDelivery
    runners: AvailableRunners
    limits: TaskLimits
    watch: ResourceMonitor


@dataclass(frozen=True, kw_only=True)
class TaskFolders:
    """Of one task: `tree` holds its container paths and belongs to whom it runs as, `logs` is the server's own."""

    top: Path

    @property
    def tree(self) -> Path:
        """The root of the container paths."""
        return self.top / "tree"

    @property
    def logs(self) -> Path:
        """What the server captures."""
        return self.top / "logs"

    def capture(self, index: int) -> Capture:
        """The log files of the executor of that number."""
        return Capture(folder=self.logs, index=index)


@dataclass(frozen=True, kw_only=True)
class TaskAttempt:
    """The attempt number `number` (from 0). `running` tells the store that the task is RUNNING now, `started` how its
    executor is found again, `ended` that it has ended, with its log, `delivering` that outputs begin to be written.
    `handle` is that of an executor which an earlier server has started, to go on with; empty for a task that begins.
    `delivers_again`: an earlier server had begun to deliver, and this one does it anew."""

    task_id: str
    number: int
    request: TaskRequest
    folders: TaskFolders
    control: TaskControl
    task_log: TaskLogWriter
    context: AttemptContext
    running: Callable[[], None]
    started: Callable[[str], None]
    ended: Callable[[], None]
    delivering: Callable[[], None]
    handle: str = ""
    delivers_again: bool = False

    def run(self) -> TaskState:
        """The state that the task ends in; CANCELED stands for stopped, whoever stopped it. `AttemptLost`."""
        try:
            if self.delivers_again:
                return self._deliver_again()
            return self._resume() if self.handle else self._begin()
        except TaskFault as fault:
            self.task_log.note(str(fault))
            return TaskState.CANCELED if self.control.stopped else TaskState.SYSTEM_ERROR
        except TaskStopped:
            return TaskState.CANCELED

    def _begin(self) -> TaskState:
        self.task_log.begin()
        runner = self.context.runners.choose(self.request, self.control, self.task_log)
        self._make_folders()
        with staged(self.context.staging, self.request, self.folders.tree, self.control) as layout:
            runner.settle(self.request, layout)
            self.running()
            return self._finish(layout, self._execute(runner, layout, 0))

    def _resume(self) -> TaskState:
        """Goes on with the executor that was running; `AttemptLost` where it is not there any more."""
        log = self.task_log.log
        runner = self.context.runners.named(log.metadata.get(RUNNER_ENTRY))
        index = len(log.executors)
        if runner is None or log.running_since is None:
            raise AttemptLost
        self.task_log.note("the server was started again while this task ran, and went on with it")
        with staged(self.context.staging, self.request, self.folders.tree, self.control, anew=False) as layout:
            attach = partial(runner.attach, self.handle, stop=self.control)
            first = self._executor(layout, index, lambda call: attach(call.streams))
            if first != 0 and not self.request.executors[index].get("ignore_error"):
                return self._finish(layout, TaskState.EXECUTOR_ERROR)
            return self._finish(layout, self._execute(runner, layout, index + 1))

    def _deliver_again(self) -> TaskState:
        """All executors have ended; what they left is still there, delivered or not (`OutputDelivery`)."""
        ended = zip(self.request.executors, self.task_log.log.executors, strict=False)
        failed = any(one.exit_code != 0 and not executor.get("ignore_error") for executor, one in ended)
        with staged(self.context.staging, self.request, self.folders.tree, self.control, anew=False) as layout:
            return self._finish(layout, TaskState.EXECUTOR_ERROR if failed else TaskState.COMPLETE)

    def _make_folders(self) -> None:
        identity = self.context.staging.identity
        self.folders.top.mkdir(mode=0o711 if identity.drop else 0o700)
        self.folders.logs.mkdir(mode=0o700)
        identity.make_folder(self.folders.tree, 0o755)

    def _execute(self, runner: Runner, layout: Layout, first: int) -> TaskState:
        for index, executor in enumerate(self.request.executors[first:], start=first):
            self.task_log.executor_started()
            exit_code = self._executor(layout, index, runner.start)
            if exit_code != 0 and not executor.get("ignore_error"):
                return TaskState.EXECUTOR_ERROR
        return TaskState.COMPLETE

    def _executor(self, layout: Layout, index: int, start: Start) -> int:
        capture = self.folders.capture(index)
        code = None
        try:
            with open_streams(capture, layout, self.request.executors[index], self.context.staging.identity) as streams:
                exit_code = self._until_ended(start, self._call(layout, index, streams))
                code = KILLED if exit_code is None else exit_code
        finally:
            self.task_log.executor_ended(code, capture.text("stdout"), capture.text("stderr"))
            self.ended()
            capture.discard()
        self.control.check()
        if exit_code is None:
            raise TaskFault("the executor was ended from outside")
        return exit_code

    def _until_ended(self, start: Start, call: ExecutorRequest) -> int | None:
        """None where it was killed."""
        running = self.control.run(lambda: start(call))
        if running is None:
            raise AttemptLost
        try:
            self._keep_handle(running)
            with self.context.watch.over(self._subject(running, call)) as watched:
                exit_code = running.wait()
        finally:
            self.control.ended()
        problem = watched.problem
        if running.out_of_memory and not problem:
            problem = memory_message("the step", call.limits.memory_bytes, LIMIT_NAMES)
        if not problem or self.control.stopped:
            return exit_code
        self._explain(problem, call.streams)
        return exit_code or KILLED

    def _keep_handle(self, running: RunningExecutor) -> None:
        try:
            self.started(running.handle)
        except BaseException:
            running.kill()
            running.wait()
            raise

    def _subject(self, running: RunningExecutor, call: ExecutorRequest) -> Workload:
        executor = self.request.executors[call.index]
        streams = (
            ("stdout", executor.get("stdout"), call.streams.stdout),
            ("stderr", executor.get("stderr"), call.streams.stderr),
        )
        return Workload(
            name="the step",
            limits=call.limits,
            settings=LIMIT_NAMES,
            end=running.kill,
            pid=running.pid,
            folder=self.folders.top,
            logs=tuple((name, fd) for name, path, fd in streams if self.context.limits.is_log(path)),
        )

    def _explain(self, problem: str, streams: ExecutorStreams) -> None:
        """In the stderr of the executor too, from where clients take why it failed."""
        self.task_log.note(problem)
        with suppress(OSError):
            os.write(streams.stderr, f"\n{problem}\n".encode())

    def _call(self, layout: Layout, index: int, streams: ExecutorStreams) -> ExecutorRequest:
        executor = self.request.executors[index]
        return ExecutorRequest(
            task_id=self.task_id,
            attempt=self.number,
            index=index,
            request=self.request,
            image=executor["image"],
            command=tuple(executor["command"]),
            env=executor.get("env") or {},
            workdir=executor.get("workdir"),
            layout=layout,
            streams=streams,
            limits=self.context.limits.for_task(self.request.resources),
            has_stdin=bool(executor.get("stdin")),
        )

    def _finish(self, layout: Layout, state: TaskState) -> TaskState:
        """Outputs are delivered after a failure as well; what is missing then is no news."""
        self.delivering()
        try:
            done = self.context.delivery.deliver(self.request, layout, self.control)
        except TaskFault as fault:
            if state is TaskState.COMPLETE:
                raise
            self.task_log.note(str(fault))
            return state
        self.task_log.outputs(done.files)
        for line in (*done.notes, *(f"the output {path} is missing" for path in done.missing)):
            self.task_log.note(line)
        return TaskState.SYSTEM_ERROR if done.missing and state is TaskState.COMPLETE else state


def live_texts(capture: Capture) -> dict[str, str]:
    """The output so far of an executor that still runs."""
    texts: dict[str, str] = {}
    with suppress(OSError):
        texts = {stream: capture.text(stream) for stream in ("stdout", "stderr")}
    return texts


def remove_folder(folder: Path) -> None:
    """What a task left; foreign code can nest folders deeper than Python can walk, and close them to their owner."""
    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        opened = ["find", str(folder), "-type", "d", "!", "-perm", "-700", "-exec", "chmod", "u+rwx", "--", "{}", ";"]
        subprocess.run(opened, check=False, capture_output=True)
        subprocess.run(["rm", "-rf", "--", str(folder)], check=False, capture_output=True)
