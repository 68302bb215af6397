"""One run on this worker, from its claim to its end."""

import contextlib
import errno
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from common.engine import Engine, EngineCommand, EngineEnd, EngineJob, Installation, RunFolder
from common.errors import (
    DiskFull,
    EngineError,
    FetchStopped,
    MoveRefused,
    StaleClaim,
    StoreUnavailable,
    SystemFailure,
    WesError,
)
from common.json_types import Json
from common.paging import Cursor
from common.run_root import RunRoot
from gateway.server import Gateway
from gateway.session import RunScope, Session
from gateway.task_reuse import ReuseScope
from sandbox.identity import Identity
from tes.task import Task
from wes_service.core.links import log_file
from wes_service.core.ports import Clock, Lease, RunChange, RunStore, TaskStore
from wes_service.core.run import EngineProcess, Run, RunState
from wes_service.core.workflow import AttachedWorkflow, FetchRequest, WorkflowFetcher
from wes_service.storage.run_folders import RunFolders
from workers.launcher import Launch, Launcher, RunningEngine
from workers.run import prepare, run_outcome
from workers.run.collect import (
    NO_LIMITS,
    OutputLimits,
    collect_outputs,
    engine_notes,
    unused_images,
    withheld_outputs,
)

log = structlog.get_logger(__name__)

TASKS_AT_ONCE = 1_000
MOST_LOOKED_AT = 1000
"""Tasks that are asked for the images they did not use: those of more are the same ones again."""
STDERR_TAIL = 64 * 1024
MOST_STARTS = 3
"""Of an engine that is killed each time: perhaps it is the run that has memory run out."""
LOOK_SECONDS = 0.5
FIRST_WAIT = 0.2
LONGEST_WAIT = 2.0
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class RunDependencies:
    """What every run on this worker is made with."""

    runs: RunStore
    tasks: TaskStore
    folders: RunFolders
    gateway: Gateway
    launcher: Launcher
    identity: Identity
    clock: Clock
    engine_named: Callable[[str], Engine | None]
    installed: Callable[[], Sequence[Installation]]
    engine_settings: prepare.EngineSettings
    fetcher: WorkflowFetcher
    min_free_gb: float
    output_limits: OutputLimits = NO_LIMITS
    closing_seconds: float
    max_run_time: str = ""
    reuse: bool = False
    """Whether runs that do not say otherwise take what any run of their owner's has done."""
    """The longest time of a run, as `12h`; empty for any."""
    notices: tuple[str, ...] = ()
    tes_choices: tuple[str, ...] = ()
    """What a run may ask for as its TES."""
    run_ended: Callable[[str], None] = lambda _: None
    """Told the id of each run that has ended here."""


class LeaseLost(Exception):
    """The run is another worker's, or left to the next one: nothing more may be written."""


class CollectionInterrupted(Exception):
    """The outputs that are being collected are nobody's any more."""


@dataclass(kw_only=True)
class RunAttempt:
    """Runs in a thread of its own; the other methods may be called from any thread."""

    dependencies: RunDependencies
    run: Run
    lease: Lease
    _canceled: threading.Event = field(default_factory=threading.Event)
    _lost: threading.Event = field(default_factory=threading.Event)
    _wake: threading.Event = field(default_factory=threading.Event)
    _doubt: threading.Event = field(default_factory=threading.Event)
    _close_by: float = float("inf")
    _end_by: float = float("inf")
    _time_limit: prepare.TimeLimit | None = None
    _engine: RunningEngine | None = None
    _process: EngineProcess = field(default_factory=EngineProcess)
    _notes: list[str] = field(default_factory=list)
    _told_refusals: int = 0

    def cancel(self) -> None:
        """The user wants it gone."""
        self._interrupt(self._canceled)

    def hand_over(self, closing_seconds: float) -> None:
        """The worker stops, and the next one goes on with the run: the engine is ended and its tasks are left as they
        are. A run that is cancelled ends here; tasks of it that are not seen to end in the seconds given are left to
        the next worker."""
        if not self._canceled.is_set():
            self.lose()
        self._close_by = min(self._close_by, time.monotonic() + closing_seconds)

    def lose(self) -> None:
        """The run is not this worker's any more."""
        self._interrupt(self._lost)

    def suspend(self) -> None:
        """Whether the run is still this worker's can't be known at the moment: the engine stands still."""
        if not self._doubt.is_set():
            log.warning("the lease can't be renewed", action="lease_doubt", run_id=self.run.id)
        self._doubt.set()
        if self._engine is not None:
            self._engine.suspend()

    def go_on(self) -> None:
        """It is."""
        if not self._doubt.is_set():
            return
        self._doubt.clear()
        log.warning("the lease is held still", action="lease_held", run_id=self.run.id)
        if self._engine is not None:
            self._engine.resume()

    def _interrupt(self, why: threading.Event) -> None:
        why.set()
        self._wake.set()

    def execute(self) -> None:
        """From INITIALIZING, or from where an earlier attempt was lost, to a terminal state."""
        self._limit_time()
        try:
            session = self._session()
        except (LeaseLost, StaleClaim):
            return
        with self._left_to_another(session):
            change = self._guarded(lambda: self._work(self._folder, session))
            self._finish(session, *change)

    def _limit_time(self) -> None:
        """Of what an earlier attempt began, by the clock on the wall; a clock that is set later changes nothing."""
        self._time_limit = prepare.time_limit(self.run, self.dependencies.max_run_time)
        if self._time_limit is None:
            return
        now = self.dependencies.clock.now()
        taken = max(0.0, (now - (self.run.started or now)).total_seconds())
        self._end_by = time.monotonic() + self._time_limit.seconds - taken

    def _check_time(self) -> None:
        if self._time_limit is not None and time.monotonic() > self._end_by:
            raise EngineError(self._time_limit.problem)

    def recover(self, reason: str) -> None:
        """Ends a run that nobody works on any more, for a `reason` in words: nothing of it goes on."""
        scope = self._scope()
        try:
            session = self._patiently(lambda: self.dependencies.gateway.reopen_session(scope, ending=True))
        except (LeaseLost, StaleClaim):
            return
        with self._left_to_another(session):
            self._close(session)
            self._end(RunState.SYSTEM_ERROR, RunChange(reason=reason))

    def _session(self) -> Session:
        scope, gateway = replace(self._scope(), reuse=self._reuse()), self.dependencies.gateway
        if self.run.epoch == 1:
            return gateway.open_session(scope)
        return self._patiently(lambda: gateway.reopen_session(scope, ending=False))

    @contextlib.contextmanager
    def _left_to_another(self, session: Session) -> Iterator[None]:
        """Whatever stops the attempt before the run's end is stored: engine and session end with it, and the tasks are
        the next one's, to be cancelled or gone on with."""
        try:
            yield
        except (LeaseLost, StaleClaim):
            log.warning("the run is left to another", action="lease_lost", run_id=self.run.id)
        finally:
            self._lost.set()
            if self._engine is not None:
                self._engine.kill()
            self.dependencies.gateway.drop_session(session)

    def _guarded(self, work: Callable[[], RunChange]) -> tuple[RunState, RunChange]:
        try:
            return RunState.COMPLETE, work()
        except (LeaseLost, StaleClaim):
            raise
        except EngineError as error:
            return RunState.EXECUTOR_ERROR, RunChange(reason=str(error))
        except WesError as error:
            return RunState.SYSTEM_ERROR, RunChange(reason=str(error))
        except Exception as error:
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                reason = f"The disk of {self.dependencies.folders.root} is full: free some, then submit the run again."
                return RunState.SYSTEM_ERROR, RunChange(reason=reason)
            log.exception("the run failed in the service", action="run_failed", run_id=self.run.id)
            return RunState.SYSTEM_ERROR, RunChange(reason=f"The service failed on this run: {type(error).__name__}")

    def _finish(self, session: Session, state: RunState, change: RunChange) -> None:
        process = change.process or self._process
        if not self._close(session):
            change = replace(change, lines=(*change.lines, "Not every task could be seen to end on its TES."))
        if self._canceled.is_set():
            state, change = RunState.CANCELED, replace(change, reason="The run was cancelled.", outputs=None)
        notes = engine_notes(self._folder)
        lines = (
            *change.lines,
            *notes,
            *self._unused_images(),
            *session.named.unused(),
            *self._notes,
            *self.dependencies.gateway.notes(self.run.id),
            *self._refused_hosts(),
        )
        self._end(state, replace(change, process=process, lines=lines))

    def _unused_images(self) -> list[str]:
        settings = self.dependencies.engine_settings
        tasks = self._patiently(lambda: self.dependencies.tasks.page(self.run.id, MOST_LOOKED_AT, None)).items
        return unused_images(tasks, settings.defaults(self.run.engine).image or settings.default_image)

    def _end(self, state: RunState, change: RunChange) -> None:
        try:
            self._patiently(lambda: self.dependencies.runs.move(self.lease, state, change))
        except MoveRefused:
            # A cancel came in between: CANCELING leads only to CANCELED.
            state, change = RunState.CANCELED, replace(change, reason="The run was cancelled.", outputs=None)
            self._patiently(lambda: self.dependencies.runs.move(self.lease, state, change))
        log.info("run ended", action="run_state", run_id=self.run.id, state=state.value)
        self.dependencies.run_ended(self.run.id)

    def _patiently(self, store: Callable[[], Result]) -> Result:
        """Uses the store, again and again while it is away, for as long as the run is this worker's."""
        wait, reported = FIRST_WAIT, False
        while not self._lost.wait(0):
            try:
                return store()
            except (StoreUnavailable, DiskFull) as error:
                if not reported:
                    why = str(error.__cause__ or error)
                    log.warning("waiting for the store", action="store_wait", run_id=self.run.id, problem=why)
                reported = True
            self._lost.wait(wait)
            wait = min(wait * 2, LONGEST_WAIT)
        raise LeaseLost

    def _close(self, session: Session) -> bool:
        """Cancels what is open; whether all of it was seen to end. `LeaseLost`: that is for the next worker to do."""
        # Tasks of a run that may be another worker's are not this one's to cancel.
        while self._doubt.is_set() and not self._lost.wait(LOOK_SECONDS):
            continue
        if self._lost.is_set():
            raise LeaseLost
        closed = self.dependencies.gateway.close_session(session, self.dependencies.closing_seconds, self._in_a_hurry)
        if not closed and self._in_a_hurry():
            raise LeaseLost
        return closed

    def _in_a_hurry(self) -> bool:
        return self._lost.is_set() or time.monotonic() > self._close_by

    def _work(self, folder: RunFolder, session: Session) -> RunChange:
        self.dependencies.folders.complete(self.run.id)
        try:
            engine, job = self._prepare(folder)
        except FetchStopped:
            return self._interrupted()
        code = self._run_engine(engine, job, session.token)
        if self._engine is not None and self._engine.problem:
            problem = self._engine.problem
            raise EngineError(f"{problem[0].upper()}{problem[1:]}.")
        if self._canceled.is_set():
            return RunChange()
        if code != 0:
            raise self._failure(engine, folder, session, code)
        try:
            outputs = self._outputs(engine, folder, session)
        except CollectionInterrupted:
            return self._interrupted()
        count = sum(self._patiently(lambda: self.dependencies.tasks.counts(self.run.id)).values())
        reason, lines = run_outcome.success_outcome(count, outputs)
        return RunChange(reason=reason, lines=lines, outputs=outputs, process=self._process)

    def _outputs(self, engine: Engine, folder: RunFolder, session: Session) -> dict[str, Json]:
        found, limits = engine.outputs(folder), self.dependencies.output_limits
        urls = [] if session.fetch_file is None else withheld_outputs(found, folder, limits, self._check_wanted)
        if urls:
            fetching = self.dependencies.gateway.begin_fetch(session, urls)
            while not futures.wait([fetching], LOOK_SECONDS).done:
                if self._wake.is_set():
                    fetching.cancel()
                self._check_wanted()
            fetching.result()
        return collect_outputs(found, folder, limits, self._check_wanted)

    def _check_wanted(self) -> None:
        if self._wake.is_set():
            raise CollectionInterrupted

    def _interrupted(self) -> RunChange:
        """While there was no engine: `_finish` looks whether it was a cancel."""
        if self._lost.is_set():
            raise LeaseLost
        return RunChange()

    def _prepare(self, folder: RunFolder) -> tuple[Engine, EngineJob]:
        engine = self.dependencies.engine_named(self.run.engine)
        if engine is None:
            raise SystemFailure(f"this worker does not know the engine {self.run.engine!r}")
        prepare.check_tes_choice(self.run, self.dependencies.tes_choices)
        installation = prepare.choose_installation(self.run, engine, self.dependencies.installed())
        for path in (folder.attachments, folder.work, folder.control, folder.logs):
            self.dependencies.identity.make_folder(path)
        document = self._document(folder, engine)
        return engine, prepare.engine_job(
            self.run, engine, installation, folder, self.dependencies.engine_settings, document
        )

    def _document(self, folder: RunFolder, engine: Engine) -> AttachedWorkflow:
        named = prepare.workflow_of(self.run)
        if isinstance(named, AttachedWorkflow):
            return named
        if self.run.fetched_document is not None:
            if self.run.parent is not None:
                parent = self.dependencies.folders.folder(self.run.parent)
                prepare.inherit_source(folder, parent, self.dependencies.identity)
            return AttachedWorkflow(name=self.run.fetched_document, fragment=named.fragment)
        order = FetchRequest(workflow=named, root=folder.root, language=engine.workflow_type)
        fetched = self.dependencies.fetcher.fetch(order, self._wake.is_set)
        prepare.write_source(folder, fetched, self.dependencies.identity)
        lines = (*fetched.lines, *prepare.unattached(self.run, folder))
        change = RunChange(lines=lines, fetched_document=fetched.name)
        self._patiently(lambda: self.dependencies.runs.note(self.lease, change))
        return AttachedWorkflow(name=fetched.name, fragment=named.fragment)

    def _write_control(self, job: EngineJob, command: EngineCommand, token: str) -> None:
        files = {**command.files, job.token_file.name: token}
        for name, text in files.items():
            path = job.folder.control / name
            path.touch(mode=0o600)
            path.write_text(text)
            self.dependencies.identity.own(path)

    def _run_engine(self, engine: Engine, job: EngineJob, token: str) -> int:
        """Its exit code. One that somebody killed is started again in its folder, as after a take-over: tasks go on
        meanwhile, and what is done stays done."""
        for start in range(1, MOST_STARTS + 1):
            if start > 1:
                log.warning("the engine was killed", action="engine_killed", run_id=self.run.id)
                line = f"The engine was killed, by somebody or as memory ran out; it is started again: start {start}."
                self._patiently(partial(self.dependencies.runs.note, self.lease, RunChange(lines=(line,))))
            code = self._supervise(self._launch(engine, job, token), job.installation if start == 1 else None)
            if not self._was_killed(code):
                break
        return code

    def _was_killed(self, code: int) -> bool:
        """Not by this worker, which says why it does."""
        ours = self._wake.is_set() or (self._engine is not None and self._engine.problem)
        return code == -signal.SIGKILL and not ours

    def _launch(self, engine: Engine, job: EngineJob, token: str) -> Launch:
        """Made for each start, as an engine goes by what it finds in its folder."""
        command = engine.command(job)
        self._write_control(job, command, token)
        return Launch(
            command=command,
            folder=self._folder,
            installation=job.installation,
            allowed_data=self.dependencies.engine_settings.allowed_data,
        )

    def _supervise(self, launch: Launch, announced: Installation | None) -> int:
        """Until it ends. `announced`: what the run's log says of its first start."""
        if self._wake.is_set():
            return -1
        self._check_time()
        began = self._process.started or self.run.process.started or self.dependencies.clock.now()
        self._process = EngineProcess(argv=launch.command.argv, started=began)
        engine = self.dependencies.launcher.start(launch)
        self._engine = engine
        if self._doubt.is_set():
            engine.suspend()
        if announced is not None:
            self._record_start(announced)
        try:
            code = self._wait(engine)
        except EngineError:
            engine.stop()
            self._process = replace(self._process, ended=self.dependencies.clock.now(), exit_code=engine.wait(1.0))
            raise
        self._process = replace(self._process, ended=self.dependencies.clock.now(), exit_code=code)
        return code

    def _record_start(self, installation: Installation) -> None:
        """What runs it is kept for the attempts that may follow."""
        lines = (self._how(installation), *self.dependencies.notices)
        change = RunChange(process=self._process, lines=lines, engine_version=installation.version)
        if self.run.state is RunState.RUNNING:
            self._patiently(lambda: self.dependencies.runs.note(self.lease, change))
            return
        try:
            self._patiently(lambda: self.dependencies.runs.move(self.lease, RunState.RUNNING, change))
        except MoveRefused:
            # Cancelled a moment ago; or stored at the first try, whose answer was lost.
            if self._patiently(lambda: self.dependencies.runs.held_run(self.lease)).state is RunState.CANCELING:
                self._canceled.set()

    def _wait(self, engine: RunningEngine) -> int:
        while True:
            code = engine.wait(0.05 if self._wake.is_set() else LOOK_SECONDS)
            if code is not None:
                return code
            if self._lost.is_set():
                raise LeaseLost
            if self._canceled.is_set():
                engine.stop()
                return engine.wait(1.0) or -9
            self._check_time()
            self._pass_notes()

    def _pass_notes(self) -> None:
        self._notes += [*self.dependencies.gateway.notes(self.run.id), *self._refused_hosts()]
        if self._notes:
            # At the next look, or with the run's end, where it can't be stored now.
            with contextlib.suppress(StaleClaim, StoreUnavailable, DiskFull):
                self.dependencies.runs.note(self.lease, RunChange(lines=tuple(self._notes)))
                self._notes = []

    def _refused_hosts(self) -> list[str]:
        """Those that no line in the run's log was made for."""
        refused = self._engine.refused_hosts[self._told_refusals :] if self._engine else ()
        self._told_refusals += len(refused)
        return [f"The engine was not let to a host: {sentence}." for sentence in refused]

    def _failure(self, engine: Engine, folder: RunFolder, session: Session, code: int) -> WesError:
        end = EngineEnd(exit_code=code, stderr=log_tail(folder.logs / "stderr", STDERR_TAIL))
        # What the engine left running when it failed is not what it failed of: look before it is cancelled.
        task = run_outcome.failed_task(self._tasks())
        step = None
        if task is not None:
            stdout, stderr = (
                log_tail(folder.task_logs(task.id) / log_file(name, 0), STDERR_TAIL) for name in ("stdout", "stderr")
            )
            step = run_outcome.FailedStep(task=task, stderr=stderr, stdout=stdout)
        outcome = run_outcome.failure_outcome(engine.diagnose(folder, end), step, session.failure)
        return (
            EngineError(outcome.reason) if outcome.state is RunState.EXECUTOR_ERROR else SystemFailure(outcome.reason)
        )

    def _tasks(self) -> Iterator[Task]:
        """All of them, oldest first."""
        cursor: Cursor | None = None
        while True:
            page = self._patiently(partial(self.dependencies.tasks.page, self.run.id, TASKS_AT_ONCE, cursor))
            yield from page.items
            if (cursor := page.next) is None:
                return

    def _how(self, installation: Installation) -> str:
        where = "in a bubblewrap sandbox" if self.dependencies.launcher.sandboxed else "WITHOUT a sandbox"
        return f"{installation.engine} {installation.version} runs {where} on worker {self.lease.worker}."

    @property
    def _folder(self) -> RunFolder:
        return self.dependencies.launcher.seen(self.dependencies.folders.folder(self.run.id))

    def _reuse(self) -> ReuseScope:
        ancestors: Sequence[str] = ()
        if self.run.parent is not None:
            ancestors = self._patiently(lambda: self.dependencies.runs.ancestors(self.run.owner, self.run.id))
        return prepare.reuse_scope(self.run, ancestors, self.dependencies.reuse)

    def _scope(self) -> RunScope:
        data = self.dependencies.engine_settings.allowed_data
        return RunScope(
            lease=self.lease,
            owner=self.run.owner,
            root=RunRoot(folder=self._folder, data=tuple(dict.fromkeys([*data, *(path.resolve() for path in data)]))),
            identity=self.dependencies.identity,
            resources=self.dependencies.engine_settings.defaults(self.run.engine).resources(),
            tes=self.run.request.tes,
            rules=prepare.step_rules(self.run, self.dependencies.engine_settings.step_limits),
        )


def log_tail(path: Path, size: int) -> str:
    """The last `size` bytes of a log as text; empty where there is none."""
    try:
        with path.open("rb") as source:
            source.seek(0, 2)
            source.seek(max(0, source.tell() - size))
            return source.read().decode(errors="replace")
    except OSError:
        return ""
