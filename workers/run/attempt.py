"""One run on this worker, from its claim to its end."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from wes_service.core.engine import Engine, EngineCommand, EngineEnd, EngineJob, Installation, RunFolder
from wes_service.core.errors import EngineError, FetchStopped, MoveRefused, StaleClaim, SystemFailure, WesError
from wes_service.core.fetching import FetchOrder, WorkflowFetcher
from wes_service.core.log_files import log_file
from wes_service.core.ports import Change, Clock, Lease, RunStore, TaskStore
from wes_service.core.run import EngineProcess, Run
from wes_service.core.state import RunState
from wes_service.core.workflow_url import AttachedWorkflow
from wes_service.launch.identity import Identity
from wes_service.storage.run_folders import RunFolders
from workers.gateway.policy import FilePolicy
from workers.gateway.server import Gateway
from workers.gateway.session import RunScope, Session
from workers.launcher import Launch, Launcher, RunningEngine
from workers.run import prepare, source, verdict
from workers.run.collect import collected
from workers.run.engine_notes import engine_notes
from workers.run.unused_images import unused_images

log = structlog.get_logger(__name__)

ALL_TASKS = 10_000
MOST_LOOKED_AT = 1000
"""Tasks that are asked for the images they did not use: those of more are the same ones again."""
STDERR_TAIL = 64 * 1024
LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Bench:
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
    place: prepare.Place
    fetcher: WorkflowFetcher
    min_free_gb: float
    closing_seconds: float
    notices: tuple[str, ...] = ()


class Lost(Exception):
    """The lease is gone: another worker has the run, and nothing more may be written."""


@dataclass(kw_only=True)
class Attempt:
    """Runs in a thread of its own; the other methods may be called from any thread."""

    bench: Bench
    run: Run
    lease: Lease
    _canceled: threading.Event = field(default_factory=threading.Event)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _lost: threading.Event = field(default_factory=threading.Event)
    _wake: threading.Event = field(default_factory=threading.Event)
    _engine: RunningEngine | None = None
    _process: EngineProcess = field(default_factory=EngineProcess)

    def cancel(self) -> None:
        """The user wants it gone."""
        self._interrupt(self._canceled)

    def shut_down(self) -> None:
        """The worker stops."""
        self._interrupt(self._stopping)

    def lose(self) -> None:
        """The lease is gone, or about to go."""
        self._interrupt(self._lost)

    def _interrupt(self, why: threading.Event) -> None:
        why.set()
        self._wake.set()

    def execute(self) -> None:
        """From INITIALIZING to a terminal state."""
        folder = self.bench.folders.folder(self.run.id)
        self._conclude(lambda session: self._work(folder, session))

    def recover(self) -> None:
        """Ends a run whose worker was lost: nothing of it goes on, and it says so."""
        scope = self._scope(self.bench.folders.folder(self.run.id))
        with contextlib.suppress(Lost, StaleClaim):
            session = self.bench.gateway.recover_session(scope)
            self._close(session)
            if self.run.state is RunState.CANCELING:
                self._end(RunState.CANCELED, Change(reason="The run was cancelled."))
                return
            reason = "The worker that ran it was lost (killed, or its machine went down): submit the run again."
            self._end(RunState.SYSTEM_ERROR, Change(reason=reason))

    def _conclude(self, work: Callable[[Session], Change]) -> None:
        folder = self.bench.folders.folder(self.run.id)
        session = self.bench.gateway.open_session(self._scope(folder))
        try:
            change = self._guarded(work, session)
            self._finish(session, *change)
        except (Lost, StaleClaim):
            log.warning("the lease is lost", action="lease_lost", run_id=self.run.id)
        finally:
            if self._engine is not None:
                self._engine.kill()
            if self._lost.is_set():
                # Its tasks are another worker's now, to be cancelled or gone on with.
                self.bench.gateway.drop_session(session)
            else:
                self._close(session)

    def _guarded(self, work: Callable[[Session], Change], session: Session) -> tuple[RunState, Change]:
        try:
            return RunState.COMPLETE, work(session)
        except (Lost, StaleClaim):
            raise
        except EngineError as error:
            return RunState.EXECUTOR_ERROR, Change(reason=str(error))
        except WesError as error:
            return RunState.SYSTEM_ERROR, Change(reason=str(error))
        except Exception as error:
            log.exception("the run failed in the service", action="run_failed", run_id=self.run.id)
            return RunState.SYSTEM_ERROR, Change(reason=f"The service failed on this run: {type(error).__name__}")

    def _finish(self, session: Session, state: RunState, change: Change) -> None:
        process = change.process or self._process
        if self._lost.is_set():
            raise Lost
        if not self._close(session):
            change = replace(change, lines=(*change.lines, "Not every task could be seen to end on its TES."))
        if self._canceled.is_set():
            state, change = RunState.CANCELED, replace(change, reason="The run was cancelled.", outputs=None)
        notes = engine_notes(self.bench.folders.folder(self.run.id))
        lines = (*change.lines, *notes, *self._unused_images(), *self.bench.gateway.notes(self.run.id))
        self._end(state, replace(change, process=process, lines=lines))

    def _unused_images(self) -> list[str]:
        place = self.bench.place
        tasks = self.bench.tasks.page(self.run.id, MOST_LOOKED_AT, None).items
        return unused_images(tasks, place.defaults(self.run.engine).image or place.default_image)

    def _end(self, state: RunState, change: Change) -> None:
        try:
            self.bench.runs.move(self.lease, state, change)
        except MoveRefused:
            # A cancel came in between: CANCELING leads only to CANCELED.
            self.bench.runs.move(self.lease, RunState.CANCELED, replace(change, reason="The run was cancelled."))
            state = RunState.CANCELED
        log.info("run ended", action="run_state", run_id=self.run.id, state=state.value)

    def _close(self, session: Session) -> bool:
        return self.bench.gateway.close_session(session, self.bench.closing_seconds)

    def _work(self, folder: RunFolder, session: Session) -> Change:
        self.bench.folders.complete(self.run.id)
        try:
            engine, job = self._prepare(folder)
        except FetchStopped:
            return self._interrupted()
        command = engine.command(job)
        self._write_control(job, command, session.token)
        launch = Launch(
            command=command, folder=folder, installation=job.installation, allowed_data=self.bench.place.allowed_data
        )
        code = self._supervise(launch, job)
        if self._engine is not None and self._engine.problem:
            problem = self._engine.problem
            raise EngineError(f"{problem[0].upper()}{problem[1:]}.")
        if self._canceled.is_set() or self._lost.is_set():
            return Change()
        if self._stopping.is_set() and code != 0:
            raise SystemFailure("The worker was stopped while it ran this: submit the run again.")
        if code != 0:
            raise self._failure(engine, folder, session, code)
        outputs = collected(engine.outputs(folder), folder.work)
        count = sum(self.bench.tasks.counts(self.run.id).values())
        reason, lines = verdict.of_success(count, outputs)
        return Change(reason=reason, lines=lines, outputs=outputs, process=self._process)

    def _interrupted(self) -> Change:
        """Before there was an engine: `_finish` looks whether it was a cancel."""
        if self._stopping.is_set() and not self._canceled.is_set():
            raise SystemFailure("The worker was stopped while it prepared this: submit the run again.")
        return Change()

    def _prepare(self, folder: RunFolder) -> tuple[Engine, EngineJob]:
        prepare.check_disk(folder.root, self.bench.min_free_gb)
        engine = self.bench.engine_named(self.run.engine)
        if engine is None:
            raise SystemFailure(f"this worker does not know the engine {self.run.engine!r}")
        installation = prepare.choose_installation(self.run, engine, self.bench.installed())
        for path in (folder.attachments, folder.work, folder.control, folder.logs):
            self.bench.identity.make_folder(path)
        document = self._document(folder, engine)
        return engine, prepare.engine_job(self.run, engine, installation, folder, self.bench.place, document)

    def _document(self, folder: RunFolder, engine: Engine) -> AttachedWorkflow:
        named = source.workflow_of(self.run)
        if isinstance(named, AttachedWorkflow):
            return named
        order = FetchOrder(workflow=named, root=folder.root, language=engine.workflow_type)
        fetched = self.bench.fetcher.fetch(order, self._wake.is_set)
        source.write_source(folder, fetched, self.bench.identity)
        lines = (*fetched.lines, *source.unattached(self.run, folder))
        self.bench.runs.note(self.lease, Change(lines=lines))
        return AttachedWorkflow(name=fetched.name, fragment=named.fragment)

    def _write_control(self, job: EngineJob, command: EngineCommand, token: str) -> None:
        files = {**command.files, job.token_file.name: token}
        for name, text in files.items():
            path = job.folder.control / name
            path.touch(mode=0o600)
            path.write_text(text)
            self.bench.identity.own(path)

    def _supervise(self, launch: Launch, job: EngineJob) -> int:
        if self._wake.is_set():
            return -1
        self._process = EngineProcess(argv=launch.command.argv, started=self.bench.clock.now())
        engine = self.bench.launcher.start(launch)
        self._engine = engine
        lines = (self._how(job.installation), *self.bench.notices)
        try:
            self.bench.runs.move(self.lease, RunState.RUNNING, Change(process=self._process, lines=lines))
        except MoveRefused:
            # Cancelled a moment ago; the supervisor will say so too.
            self._canceled.set()
        code = self._wait(engine)
        self._process = replace(self._process, ended=self.bench.clock.now(), exit_code=code)
        return code

    def _wait(self, engine: RunningEngine) -> int:
        while True:
            code = engine.wait(0.05 if self._wake.is_set() else LOOK_SECONDS)
            if code is not None:
                return code
            if self._canceled.is_set() or self._lost.is_set() or self._stopping.is_set():
                engine.stop()
                return engine.wait(1.0) or -9
            self._pass_notes()

    def _pass_notes(self) -> None:
        lines = self.bench.gateway.notes(self.run.id)
        if lines:
            with contextlib.suppress(StaleClaim):
                self.bench.runs.note(self.lease, Change(lines=tuple(lines)))

    def _failure(self, engine: Engine, folder: RunFolder, session: Session, code: int) -> WesError:
        end = EngineEnd(exit_code=code, stderr=tail_of(folder.logs / "stderr", STDERR_TAIL))
        # What the engine left running when it failed is not what it failed of: look before it is cancelled.
        tasks = self.bench.tasks.page(self.run.id, ALL_TASKS, None).items
        task = verdict.failed_task(tasks)
        step = None
        if task is not None:
            stdout, stderr = (
                tail_of(folder.task_logs(task.id) / log_file(name, 0), STDERR_TAIL) for name in ("stdout", "stderr")
            )
            step = verdict.FailedStep(task=task, stderr=stderr, stdout=stdout)
        told = verdict.of_failure(engine.diagnose(folder, end), step, session.failure)
        return EngineError(told.reason) if told.state is RunState.EXECUTOR_ERROR else SystemFailure(told.reason)

    def _how(self, installation: Installation) -> str:
        where = "in a bubblewrap sandbox" if self.bench.launcher.sandboxed else "WITHOUT a sandbox"
        return f"{installation.engine} {installation.version} runs {where} on worker {self.lease.worker}."

    def _scope(self, folder: RunFolder) -> RunScope:
        return RunScope(
            lease=self.lease,
            owner=self.run.owner,
            folder=folder,
            policy=FilePolicy(
                readable=(folder.attachments.resolve(), *(path.resolve() for path in self.bench.place.allowed_data)),
                writable=(folder.work.resolve(),),
            ),
            identity=self.bench.identity,
            resources=self.bench.place.defaults(self.run.engine).resources(),
        )


def tail_of(path: Path, size: int) -> str:
    """The last `size` bytes of a log as text; empty where there is none."""
    try:
        with path.open("rb") as source:
            source.seek(0, 2)
            source.seek(max(0, source.tell() - size))
            return source.read().decode(errors="replace")
    except OSError:
        return ""
