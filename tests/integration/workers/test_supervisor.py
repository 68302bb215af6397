"""A worker's supervisor with a real gateway, a real sandbox and a real process for an engine."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from common.engine import Installation
from common.errors import EngineError, SystemFailure, WesError
from common.step_resources import StepLimit
from gateway.http_api import BASE
from gateway.server import Gateway
from sandbox.bubblewrap import probe, write_sandbox_files
from sandbox.identity import foreign_identity
from tests import waiting
from tests.fakes.fetcher import FakeFetcher
from tests.fakes.outage import Outage
from tests.fakes.stores import FakeClock, FakeStores
from tests.fakes.tes_server import BadTes
from tests.integration.workers.conftest import UID
from tests.integration.workers.script_engine import ScriptEngine, installed
from wes_service.core.links import Links
from wes_service.core.ports import Lease, RunChange, WorkerInfo
from wes_service.core.run import ANONYMOUS, TERMINAL, Run, RunRequest, RunState
from wes_service.core.run_log import log_ids, task_log
from wes_service.services.waiting import WaitingRuns
from wes_service.settings import Settings
from wes_service.storage.run_folders import RunFolders
from workers.launcher import INSIDE_PORT, Launcher
from workers.run.attempt import RunDependencies
from workers.run.prepare import EngineSettings
from workers.run.supervisor import RunSupervisor, SupervisorPolicy

_until = partial(waiting.until, seconds=10.0, pause=0.02)

NO_CHANGE = RunChange()
SCRIPT = {"script": ("1.0",)}


@dataclass(kw_only=True)
class Site:
    """A worker and what it works on; `submit` does what the API does."""

    stores: FakeStores
    clock: FakeClock
    folders: RunFolders
    dependencies: RunDependencies
    tes: BadTes
    workers: list[RunSupervisor]
    outage: Outage
    slots: int = 2
    owner_slots: int | None = None
    lease_seconds: float = 8.0
    started: int = 0

    def start(self, **changes: object) -> RunSupervisor:
        dependencies = replace(self.dependencies, **changes)  # type: ignore[arg-type]
        name = f"w{self.started}"
        self.started += 1
        made = RunSupervisor(
            dependencies,
            self.outage.of(self.stores.workers),
            lambda: WorkerInfo(id=name, host="h", engines={"script": ("1.0",)}),
            SupervisorPolicy(slots=self.slots, lease_seconds=self.lease_seconds, owner_slots=self.owner_slots),
        )
        self.workers.append(made)
        made.start()
        return made

    def submit(self, text: str, name: str = "w.py", url: str | None = None, **parameters: str) -> str:
        run_id = f"run-{len(self.stores.runs.page(ANONYMOUS, 100, None).items)}"
        with self.folders.stage() as staging:
            folder = self.folders.commit(staging, run_id)
        identity = self.dependencies.identity
        identity.make_folder(folder.root)
        identity.make_folder(folder.attachments)
        (folder.attachments / name).write_text(text)
        identity.own(folder.attachments / name)
        request = RunRequest(workflow_type="SCRIPT", workflow_type_version="1.0", workflow_url=url or name)
        request = replace(request, workflow_engine_parameters=parameters)
        run = Run(
            id=run_id,
            owner=ANONYMOUS,
            state=RunState.QUEUED,
            request=request,
            engine="script",
            created=self.clock.now(),
            attachments=(name,),
        )
        self.stores.runs.add(run, None)
        for worker in self.workers:
            worker.poke()
        return run_id

    def run(self, run_id: str) -> Run:
        return self.stores.runs.get(ANONYMOUS, run_id)

    def wait(self, run_id: str, state: RunState | None = None) -> Run:
        deadline = time.monotonic() + 20
        while (run := self.run(run_id)).state not in ({state} if state else TERMINAL):
            assert time.monotonic() < deadline, f"{run_id} is still {run.state}: {run.system_logs}"
            time.sleep(0.02)
        return run

    def processes(self, run_id: str) -> list[psutil.Process]:
        """Those of the run's engine, and of its sandbox."""
        attachments = str(self.folders.folder(run_id).attachments)
        found: list[psutil.Process] = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if process not in found and words and words[0].endswith("bwrap") and attachments in words:
                with contextlib.suppress(psutil.NoSuchProcess):
                    found += [process, *process.children(recursive=True)]
        return list(dict.fromkeys(found))

    def stands_still(self, run_id: str) -> bool:
        return all(process.status() == psutil.STATUS_STOPPED for process in self.processes(run_id))


@pytest.fixture
def site(open_tmp: Path, tes: BadTes) -> Iterator[Site]:
    clock = FakeClock()
    stores = FakeStores(clock)
    outage = Outage()
    identity = foreign_identity(UID)
    settings = Settings(data=open_tmp, tes_urls=(tes.url,), poll_seconds=0.1, tes_patience_seconds=2)
    folders = RunFolders(open_tmp / "runs", identity)
    folders.prepare()
    gateway = Gateway(settings, stores.tasks, clock, open_tmp / "gw", on_tcp=False)
    gateway.start()
    launcher = Launcher(identity, probe(identity), write_sandbox_files(open_tmp / "sandbox"), gateway.folder)
    engine = ScriptEngine()
    dependencies = RunDependencies(
        runs=outage.of(stores.runs),
        tasks=outage.of(stores.tasks),
        folders=folders,
        gateway=gateway,
        launcher=launcher,
        identity=identity,
        clock=clock,
        engine_named=lambda name: engine if name == "script" else None,
        installed=lambda: tuple(installed()),
        engine_settings=EngineSettings(
            tes_url=f"http://127.0.0.1:{INSIDE_PORT}{BASE}", default_image="debian", allowed_data=()
        ),
        fetcher=FakeFetcher(),
        min_free_gb=0,
        closing_seconds=5,
    )
    made = Site(
        stores=stores,
        clock=clock,
        folders=folders,
        dependencies=dependencies,
        tes=tes,
        workers=[],
        outage=outage,
    )
    yield made
    for worker in made.workers:
        worker.stop()
    gateway.stop()
    launcher.close()


def test_a_run_goes_from_queued_to_complete_with_tasks_outputs_and_history(site: Site) -> None:
    site.start()
    text = """
step("count"); step("report")
open("report.txt", "w").write("42\\n")
outputs(report={"class": "File", "location": "file://" + os.getcwd() + "/report.txt"}, n=42)
"""
    run = site.wait(site.submit(text))
    assert (run.state, run.reason) == (RunState.COMPLETE, "The run is complete: 2 tasks ran.")
    assert run.outputs["n"] == 42
    assert run.outputs["report"]["location"] == "wes-output:report.txt"  # type: ignore[index,call-overload]
    assert run.process.exit_code == 0
    assert run.process.argv[0] == "/usr/bin/python3"
    assert {task.name for task in site.stores.tasks.page(run.id, 10, None).items} == {"count", "report"}
    states = [event.state.value for event in site.stores.runs.events(ANONYMOUS, run.id)]
    assert states == ["QUEUED", "INITIALIZING", "RUNNING", "COMPLETE"]
    assert "runs in a bubblewrap sandbox" in run.system_logs[0]


def test_a_failed_step_is_an_executor_error_that_names_it(site: Site) -> None:
    site.start()
    site.tes.script = ["RUNNING", "EXECUTOR_ERROR"]
    ended = {"exit_code": 3, "end_time": "2026-01-01T00:00:00Z", "stderr": "a\nno such file: x.bam\n"}
    site.tes.documents = {"logs": [{"logs": [ended]}]}
    run = site.wait(site.submit("step('align')"))
    assert run.state is RunState.EXECUTOR_ERROR
    [task] = site.stores.tasks.page(run.id, 10, None).items
    assert run.reason == f"Step 'align' failed with exit code 3 (task {task.id}): a\nno such file: x.bam"
    assert run.outputs == {}


def test_a_workflow_that_does_not_parse_is_an_executor_error_without_a_task(site: Site) -> None:
    site.start()
    run = site.wait(site.submit("not a = python"))
    assert run.state is RunState.EXECUTOR_ERROR
    assert run.reason == "The script failed: SyntaxError: cannot assign to expression"
    assert site.stores.tasks.page(run.id, 10, None).items == []
    run = site.wait(site.submit("x", name="w.txt"))
    assert (run.state, run.reason) == (RunState.EXECUTOR_ERROR, "w.txt is not a script")


def test_a_tes_that_stays_down_is_a_system_error(site: Site) -> None:
    site.start()
    site.tes.create = [503]
    run = site.wait(site.submit("step('align')"))
    assert run.state is RunState.SYSTEM_ERROR
    assert "no TES took the task for 2 s" in (run.reason or "")
    assert any("waiting for the TES" in line for line in run.system_logs)


def test_a_disk_without_room_leaves_runs_queued_and_says_so_once(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.start(min_free_gb=1e9)
    run_id = site.submit("outputs(n=1)")
    for _ in range(3):
        site.workers[0].poke()
        time.sleep(0.1)
    assert site.run(run_id).state is RunState.QUEUED
    _until(lambda: [worker.hindrance for worker in site.stores.workers.alive(60)] == ["the disk of the worker is full"])
    site.workers.pop().stop()
    assert capsys.readouterr().out.count("free some disk, and what is queued begins") == 1
    site.start()
    assert site.wait(run_id).state is RunState.COMPLETE


def test_a_missing_engine_says_what_to_do(site: Site) -> None:
    site.start(installed=tuple[Installation, ...])
    run = site.wait(site.submit("outputs()"))
    assert run.state is RunState.SYSTEM_ERROR
    assert "wes engines install script" in (run.reason or "")


def test_an_output_that_leads_out_of_the_run_fails_it(site: Site) -> None:
    site.start()
    run = site.wait(site.submit("outputs(x={'class': 'File', 'location': 'file:///etc/passwd'})"))
    assert run.state is RunState.SYSTEM_ERROR
    assert "outside" in (run.reason or "")
    assert run.outputs == {}


def test_cancel_ends_engine_and_tasks_within_two_seconds(site: Site) -> None:
    site.start()
    site.tes.script = ["RUNNING"]
    run_id = site.submit("for n in range(3): submit(f'branch{n}')\ntime.sleep(4711)")
    site.wait(run_id, RunState.RUNNING)
    _until(lambda: len(site.tes.bodies) == 3)
    began = time.monotonic()
    assert site.stores.runs.cancel(ANONYMOUS, run_id).state is RunState.CANCELING
    site.workers[0].poke()
    run = site.wait(run_id)
    assert time.monotonic() - began < 40
    assert (run.state, run.reason) == (RunState.CANCELED, "The run was cancelled.")
    assert site.stores.tasks.open(run_id) == []
    assert not site.processes(run_id)


@pytest.mark.parametrize("lost", [False, True])
def test_a_cancel_at_any_moment_of_a_start_leaves_neither_engine_nor_task(site: Site, lost: bool) -> None:
    """Of the first start, and of one in which a run is gone on with."""
    site.slots = 8
    site.tes.script = ["RUNNING"]
    ids = [site.submit("for n in range(2): submit(f'branch{n}')\ntime.sleep(4711)") for _ in range(6)]
    if lost:
        for _ in ids:
            assert site.stores.runs.claim("gone", SCRIPT) is not None
    site.start()
    for run_id in ids:
        time.sleep(0.1)
        site.stores.runs.cancel(ANONYMOUS, run_id)
        site.workers[0].poke()
    assert {site.wait(run_id).state for run_id in ids} == {RunState.CANCELED}
    for run_id in ids:
        assert site.processes(run_id) == []
        assert site.stores.tasks.open(run_id) == []
    assert len(site.tes.canceled) == len(site.tes.bodies)


def test_a_run_stays_canceling_until_its_tasks_are_gone(site: Site) -> None:
    site.start()
    site.tes.script = ["RUNNING"]
    site.tes.stop_on_cancel = False
    run_id = site.submit("submit('branch')\ntime.sleep(4711)")
    _until(lambda: len(site.tes.bodies) == 1)
    site.wait(run_id, RunState.RUNNING)
    site.stores.runs.cancel(ANONYMOUS, run_id)
    site.workers[0].poke()
    time.sleep(2.5)
    assert site.run(run_id).state is RunState.CANCELING
    assert not site.processes(run_id)
    site.tes.stop_on_cancel = True
    assert site.wait(run_id).state is RunState.CANCELED


def kill_engine(site: Site, run_id: str) -> None:
    """All of its processes, as the kernel does it where memory runs out; there is none before it has started."""
    processes = _until(lambda: site.processes(run_id))
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    # To wait for them would take their ends from the launcher, which is in this process too.
    _until(lambda: not any(process.is_running() for process in processes))


def test_an_engine_that_is_killed_is_started_again_and_its_tasks_go_on(site: Site) -> None:
    site.start()
    run_id = site.submit("step('first'); step('second'); outputs(n=2)")
    _until(lambda: site.stores.tasks.counts(run_id).get("COMPLETE") == 1)
    site.tes.script = ["RUNNING"]
    _until(lambda: len(site.tes.bodies) == 2)
    kill_engine(site, run_id)
    _until(lambda: bool(site.processes(run_id)), lambda: (site.run(run_id).process, site.run(run_id).system_logs))
    site.tes.script = ["COMPLETE"]
    run = site.wait(run_id)
    assert (run.state, run.outputs, run.epoch, run.losses) == (RunState.COMPLETE, {"n": 2}, 1, 0)
    assert [body["name"] for body in site.tes.bodies] == ["first", "second"], "a step ran twice"
    assert any("The engine was killed" in line and "start 2." in line for line in run.system_logs)


def test_an_engine_that_is_killed_at_each_start_fails_its_run_and_leaves_no_open_task(site: Site) -> None:
    site.start()
    site.tes.script = ["RUNNING"]
    run_id = site.submit("submit('a'); submit('b'); os.kill(os.getpid(), 9)")
    run = site.wait(run_id)
    assert run.state is RunState.EXECUTOR_ERROR
    assert [line[-8:] for line in run.system_logs if "engine was killed" in line] == ["start 2.", "start 3."]
    assert len(site.tes.bodies) == 2
    assert site.stores.tasks.open(run_id) == []


def test_a_worker_that_is_stopped_hands_its_runs_over_and_their_tasks_go_on(site: Site) -> None:
    site.start()
    run_id = site.submit("step('first'); step('second'); outputs(n=2)")
    site.wait(run_id, RunState.RUNNING)
    _until(lambda: site.stores.tasks.counts(run_id).get("COMPLETE") == 1)
    site.tes.script = ["RUNNING"]
    _until(lambda: len(site.tes.bodies) == 2)
    began = time.monotonic()
    site.workers.pop().stop()
    assert time.monotonic() - began < 10
    assert not site.processes(run_id)
    assert (site.run(run_id).state, site.stores.runs.holders()) == (RunState.RUNNING, {"w0": None})
    before = site.run(run_id)
    site.start()
    _until(lambda: bool(site.processes(run_id)))
    site.tes.script = ["COMPLETE"]
    run = site.wait(run_id)
    assert (run.state, run.outputs, run.epoch, run.losses) == (RunState.COMPLETE, {"n": 2}, 2, 0)
    assert (run.engine_version, run.process.started) == ("1.0", before.process.started)
    assert "The worker w0 was stopped; the worker w1 goes on with the run, attempt 2." in run.system_logs
    assert [body["name"] for body in site.tes.bodies] == ["first", "second"], "a step ran twice"
    assert site.tes.canceled == set()


def claimed_by_another(site: Site, run_id: str, worker: str = "dead") -> Lease:
    """A worker that beat once has the run, and began it."""
    site.stores.workers.beat(WorkerInfo(id=worker, host="h"))
    claimed = site.stores.runs.claim(worker, SCRIPT)
    assert claimed is not None
    lease = Lease(run_id=run_id, worker=worker, epoch=claimed.epoch)
    site.stores.runs.move(lease, RunState.RUNNING)
    return lease


def test_a_run_that_was_begun_goes_on_before_one_that_is_queued_begins(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.slots, site.lease_seconds = 1, 1.2
    begun = site.submit("outputs(n=1)")
    claimed_by_another(site, begun)
    queued = site.submit("outputs(n=2)")
    site.start()
    assert site.wait(queued).state is site.wait(begun).state is RunState.COMPLETE
    said = capsys.readouterr().out
    assert said.index("action=take_over") < said.index("action=claim")


def test_the_run_of_a_lost_worker_goes_on(site: Site) -> None:
    site.lease_seconds = 1.2
    run_id = site.submit("outputs(n=1)")
    claimed_by_another(site, run_id)
    site.start()
    run = site.wait(run_id)
    assert (run.state, run.outputs, run.epoch, run.losses) == (RunState.COMPLETE, {"n": 1}, 2, 1)
    assert any("The worker dead was lost" in line for line in run.system_logs)
    assert site.wait(site.submit("step('next'); outputs()")).state is RunState.COMPLETE


def test_a_run_that_lost_its_worker_three_times_ends_with_that_sentence(site: Site) -> None:
    site.lease_seconds = 1.2
    run_id = site.submit("outputs(n=1)")
    claimed_by_another(site, run_id)
    for _ in range(2):
        assert site.stores.runs.take_over("dead", site.stores.runs.holders(), SCRIPT) is not None
    site.slots = 0
    site.start()
    run = site.wait(run_id)
    assert (run.state, run.losses) == (RunState.SYSTEM_ERROR, 3)
    assert "it lost its worker 3 times" in (run.reason or "")


def test_a_lost_run_waits_for_a_free_slot_and_a_cancelled_one_does_not(site: Site) -> None:
    site.lease_seconds, site.slots = 1.2, 1
    busy = site.submit("while not os.path.exists('enough'): time.sleep(0.02)\noutputs()")
    site.start()
    site.wait(busy, RunState.RUNNING)
    # Claimed before the worker sees that they are queued: it has no free slot.
    lost, canceled = site.submit("outputs(n=1)"), site.submit("outputs(n=2)")
    for run_id in (lost, canceled):
        claimed_by_another(site, run_id)
    site.stores.runs.cancel(ANONYMOUS, canceled)
    site.wait(busy, RunState.RUNNING)
    assert site.wait(canceled).state is RunState.CANCELED
    time.sleep(0.5)
    assert site.run(lost).worker == "dead"
    (site.folders.folder(busy).work / "enough").touch()
    assert site.wait(lost).state is RunState.COMPLETE


def test_a_workflow_is_fetched_once_whoever_goes_on(site: Site) -> None:
    fetcher = FakeFetcher(
        pages={"http://h/w2.py": "step('a')\nif not os.path.exists('go'): time.sleep(99)\noutputs(n=2)"}
    )
    site.start(fetcher=fetcher)
    run_id = site.submit("outputs(n=1)", url="http://h/w2.py")
    site.wait(run_id, RunState.RUNNING)
    _until(lambda: bool(site.stores.tasks.counts(run_id).get("COMPLETE")))
    site.workers.pop().stop()
    (site.folders.folder(run_id).work / "go").touch()
    site.start(fetcher=fetcher)
    run = site.wait(run_id)
    assert (run.state, run.outputs, run.epoch, len(fetcher.orders)) == (RunState.COMPLETE, {"n": 2}, 2, 1)
    assert len(site.tes.bodies) == 1


def test_a_worker_that_loses_its_lease_ends_the_engine_and_writes_nothing(site: Site) -> None:
    site.start()
    run_id = site.submit("time.sleep(4711)")
    site.wait(run_id, RunState.RUNNING)
    taken = site.stores.runs.take_over("other", site.stores.runs.holders(), SCRIPT)
    assert taken is not None
    site.stores.workers.beat(WorkerInfo(id="other", host="h"))
    site.workers[0].poke()
    _until(lambda: not site.processes(run_id))
    time.sleep(0.3)
    assert (site.run(run_id).state, site.run(run_id).worker) == (RunState.RUNNING, "other")


def test_the_engine_of_a_worker_that_can_not_renew_stands_still_and_goes_on_where_nobody_took_its_run(
    site: Site,
) -> None:
    site.lease_seconds = 1.2
    site.start()
    text = """
step("first")
for n in range(100000):
    open("ticks", "a").write("x"); time.sleep(0.02)
    if os.path.exists("enough"): break
step("second"); outputs(n=2)
"""
    run_id = site.submit(text)
    work = site.folders.folder(run_id).work
    _until((work / "ticks").exists)
    site.outage.away.set()
    _until(lambda: site.stands_still(run_id))
    before = (work / "ticks").stat().st_size
    time.sleep(1.5)
    assert (work / "ticks").stat().st_size == before, "it went on while another might have had the run"
    site.outage.away.clear()
    (work / "enough").touch()
    run = site.wait(run_id)
    assert (run.state, run.outputs, run.epoch) == (RunState.COMPLETE, {"n": 2}, 1)


def test_the_engine_of_a_worker_that_is_cut_off_is_ended_where_another_took_its_run(site: Site) -> None:
    site.lease_seconds = 1.2
    site.start()
    site.tes.script = ["RUNNING"]
    run_id = site.submit("submit('branch'); time.sleep(4711)")
    _until(lambda: len(site.tes.bodies) == 1)
    site.wait(run_id, RunState.RUNNING)
    site.outage.away.set()
    _until(lambda: site.stands_still(run_id))
    assert site.stores.runs.take_over("other", site.stores.runs.holders(), SCRIPT) is not None
    site.outage.away.clear()

    def is_ended() -> bool:
        # The other one goes on beating, or its run would be taken back.
        site.stores.workers.beat(WorkerInfo(id="other", host="h"))
        return not site.processes(run_id)

    _until(is_ended)
    assert (site.run(run_id).state, site.run(run_id).worker) == (RunState.RUNNING, "other")
    assert site.tes.canceled == set(), "its tasks are left to who took the run over"


def test_a_run_whose_end_can_not_be_stored_for_a_while_ends_all_the_same(site: Site) -> None:
    site.start()
    run_id = site.submit("step('one')\nwhile not os.path.exists('away'): time.sleep(0.02)\noutputs(n=1)")
    site.wait(run_id, RunState.RUNNING)
    _until(lambda: bool(site.stores.tasks.counts(run_id).get("COMPLETE")))
    site.outage.away.set()
    (site.folders.folder(run_id).work / "away").touch()
    _until(lambda: "counts" in site.outage.calls)
    time.sleep(0.5)
    assert site.run(run_id).state is RunState.RUNNING
    site.outage.away.clear()
    run = site.wait(run_id)
    assert (run.state, run.outputs) == (RunState.COMPLETE, {"n": 1})


@pytest.mark.parametrize("canceled", [False, True])
def test_a_run_whose_end_can_never_be_stored_is_not_left_running(
    site: Site, monkeypatch: pytest.MonkeyPatch, canceled: bool
) -> None:
    monkeypatch.setattr("workers.run.supervisor.AGAIN_SECONDS", 0.1)
    move = site.stores.runs.move

    def refuse(lease: Lease, after: RunState, change: RunChange = NO_CHANGE) -> Run:
        if change.process is not None and change.process.ended is not None:
            raise ValueError("no database takes this")
        return move(lease, after, change)

    monkeypatch.setattr(site.stores.runs, "move", refuse)
    site.start()
    run_id = site.submit("step('one')\nwhile not os.path.exists('go'): time.sleep(0.02)\noutputs(n=1)")
    site.wait(run_id, RunState.RUNNING)
    if canceled:
        site.stores.runs.cancel(ANONYMOUS, run_id)
    (site.folders.folder(run_id).work / "go").touch()
    run = site.wait(run_id)
    assert run.state is (RunState.CANCELED if canceled else RunState.SYSTEM_ERROR)
    assert ("could not store how it ended" in (run.reason or "")) is not canceled


@pytest.mark.parametrize("lost", ["claim", "move"])
def test_a_run_whose_claim_or_start_was_stored_while_the_answer_was_lost_is_done(site: Site, lost: str) -> None:
    site.outage.lost.append(lost)
    site.start()
    run = site.wait(site.submit("step('one'); outputs(n=1)"))
    assert (run.state, run.outputs, run.epoch, site.outage.lost) == (RunState.COMPLETE, {"n": 1}, 1, [])


def test_a_worker_that_takes_its_own_run_over_keeps_the_newer_attempt(site: Site) -> None:
    worker = site.start()
    run_id = site.submit("if os.path.exists('go'): outputs(); sys.exit()\ntime.sleep(4711)")
    site.wait(run_id, RunState.RUNNING)
    (site.folders.folder(run_id).work / "go").touch()
    assert site.stores.runs.take_over("w0", site.stores.runs.holders(), SCRIPT) is not None
    worker.poke()
    run = site.wait(run_id)
    assert (run.state, run.epoch) == (RunState.COMPLETE, 2)
    _until(lambda: worker.used == 0)
    assert not site.processes(run_id)


def test_a_worker_that_stops_beats_until_runs_that_are_cancelled_are_closed(site: Site) -> None:
    site.lease_seconds = 0.8
    worker = site.start()
    site.tes.script = ["RUNNING"]
    site.tes.stop_on_cancel = False
    run_id = site.submit("submit('branch'); time.sleep(4711)")
    _until(lambda: len(site.tes.bodies) == 1)
    site.wait(run_id, RunState.RUNNING)
    site.stores.runs.cancel(ANONYMOUS, run_id)
    worker.poke()
    _until(lambda: bool(site.tes.canceled))
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    before = site.stores.runs.holders()["w0"] or 0
    _until(lambda: (site.stores.runs.holders()["w0"] or 0) >= before + 3)
    site.tes.stop_on_cancel = True
    stopping.join(10)
    assert site.run(run_id).state is RunState.CANCELED
    site.workers.clear()


def test_collecting_is_ended_by_a_cancel(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def endless(_source: object, check: Callable[[], None]) -> None:
        begun.set()
        while True:
            check()
            time.sleep(0.01)

    monkeypatch.setattr("workers.run.collect.measure_file", endless)
    site.start()
    run_id = site.submit(
        "open('o', 'w').close(); outputs(o={'class': 'File', 'location': 'file://' + os.getcwd() + '/o'})"
    )
    assert begun.wait(20)
    site.stores.runs.cancel(ANONYMOUS, run_id)
    site.workers[0].poke()
    assert site.wait(run_id).state is RunState.CANCELED


@pytest.mark.parametrize("file", ["outputs.json", ".wes/notes.json"])
def test_json_without_end_ends_the_run_in_words(site: Site, file: str) -> None:
    site.start()
    text = f"""
outputs(n=1)
os.makedirs(".wes")
open("{file}", "w").write("[" * 100000)
"""
    run = site.wait(site.submit(text))
    told = (run.state.value, "nested deeper than" in (run.reason or ""))
    assert told == (("EXECUTOR_ERROR", True) if file == "outputs.json" else ("COMPLETE", False))


def test_a_worker_that_stops_leaves_a_cancel_that_takes_too_long_to_the_next(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.run.supervisor.CLOSING_SECONDS", 0.5)
    worker = site.start()
    site.tes.script = ["RUNNING"]
    site.tes.stop_on_cancel = False
    run_id = site.submit("submit('branch'); time.sleep(4711)")
    _until(lambda: len(site.tes.bodies) == 1)
    site.wait(run_id, RunState.RUNNING)
    site.stores.runs.cancel(ANONYMOUS, run_id)
    worker.poke()
    _until(lambda: bool(site.tes.canceled))
    worker.stop()
    assert (site.run(run_id).state, site.stores.runs.holders()) == (RunState.CANCELING, {"w0": None})
    assert not site.processes(run_id)
    site.tes.stop_on_cancel = True
    site.start()
    assert site.wait(run_id).state is RunState.CANCELED
    assert site.stores.tasks.open(run_id) == []


def test_no_more_runs_than_slots_at_once(site: Site) -> None:
    site.start()
    ids = [site.submit("time.sleep(0.7); outputs()") for _ in range(4)]
    site.wait(ids[0], RunState.RUNNING)
    running = [site.run(run_id).state for run_id in ids]
    assert running.count(RunState.QUEUED) >= 2
    assert all(site.wait(run_id).state is RunState.COMPLETE for run_id in ids)


def test_a_free_slot_stays_free_where_the_owner_has_as_many_runs_as_allowed(site: Site) -> None:
    site.owner_slots = 1
    site.start()
    ids = [site.submit("time.sleep(0.3); outputs()") for _ in range(2)]
    site.wait(ids[0], RunState.RUNNING)
    assert site.run(ids[1]).state is RunState.QUEUED
    why = WaitingRuns(runs=site.stores.runs, workers=site.stores.workers).why(site.run(ids[1]))
    assert why == "It waits for your other runs: 1 go on, and of one owner 1 may at once."
    assert all(site.wait(run_id).state is RunState.COMPLETE for run_id in ids)


def test_a_run_that_takes_longer_than_it_may_is_ended_with_its_tasks(site: Site) -> None:
    site.tes.script = ["RUNNING"]
    site.start(max_run_time="1w")
    run_id = site.submit("step('a')", max_time="1s")
    run = site.wait(run_id)
    assert (run.state, run.reason) == (
        RunState.EXECUTOR_ERROR,
        "It was ended as it took longer than 1s, its longest time (max_time of the run).",
    )
    assert site.stores.tasks.open(run_id) == []
    assert site.processes(run_id) == []
    assert run.process.ended is not None


def test_steps_get_what_run_and_service_let_them_have(site: Site) -> None:
    settings = replace(site.dependencies.engine_settings, step_limits={"cpu": StepLimit(amount=4, setting="WES_X")})
    site.start(engine_settings=settings)
    changes = '{"a": {"memory": "2GB"}, "b": {"cpu": 1}}'
    run_id = site.submit("step('a', resources={'cpu_cores': 16}); outputs()", max_disk="1GB", step_resources=changes)
    run = site.wait(run_id)
    assert site.tes.bodies[0]["resources"] == {"cpu_cores": 4, "ram_gb": 2}
    (task,) = site.stores.tasks.page(run_id, 10, None).items
    said = task_log(task, log_ids(task)[0], Links(base="http://wes"))["system_logs"]
    assert "asked for 16 cpu, lowered to 4 (WES_X); given 2 GB of memory (step_resources)" in str(said)
    assert "Each step gets at most 4 cpu (WES_X), 1 GB of disk (max_disk)." in run.system_logs
    assert "step_resources names b, but no step was called so: there were a." in run.system_logs


def test_a_task_that_runs_for_longer_than_it_may_has_failed(site: Site) -> None:
    site.tes.script = ["RUNNING"]
    site.start()
    run_id = site.submit("step('a')", max_task_time="1s")
    run = site.wait(run_id)
    assert run.state is RunState.EXECUTOR_ERROR
    assert str(run.reason).startswith("Step 'a' failed in TES state EXECUTOR_ERROR (task ")
    assert "it was ended as it ran for longer than 1 s (max_task_time)" in str(run.reason)
    assert site.tes.canceled, "its TES was told, too"


def test_the_longest_time_counts_from_the_first_start_whoever_goes_on(site: Site) -> None:
    run_id = site.submit("outputs()")
    assert site.stores.runs.claim("gone", SCRIPT) is not None
    site.clock.advance(3601)
    site.start(max_run_time="1h")
    run = site.wait(run_id)
    assert (run.state, run.epoch) == (RunState.EXECUTOR_ERROR, 2)
    assert "longer than 1h, its longest time (WES_MAX_RUN_TIME)" in str(run.reason)
    assert run.process.started is None, "its engine was not started again"


def test_a_thousand_queued_runs_are_asked_for_only_when_a_slot_is_free(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.slots = 1
    claims: list[str] = []
    claim = site.stores.runs.claim

    def counted(worker: str, *more: object) -> Run | None:
        claims.append(worker)
        return claim(worker, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(site.stores.runs, "claim", counted)
    first = site.submit("time.sleep(1); outputs()")
    busy = site.run(first)
    site.start()
    site.wait(first, RunState.RUNNING)
    for number in range(1000):
        site.stores.runs.add(replace(busy, id=f"queued-{number}", engine="other"), None)
        site.workers[0].poke()
    assert len(claims) == 1
    site.wait(first)
    time.sleep(1)
    assert len(claims) <= 3


def test_a_worker_that_is_drained_goes_on_with_its_runs_and_begins_none(site: Site) -> None:
    site.slots = 1
    ids = [site.submit("time.sleep(1); outputs()") for _ in range(2)]
    worker = site.start()
    site.wait(ids[0], RunState.RUNNING)
    worker.drain()
    assert not worker.is_drained
    assert site.wait(ids[0]).state is RunState.COMPLETE
    _until(lambda: worker.is_drained)
    worker.poke()
    time.sleep(0.5)
    assert site.run(ids[1]).state is RunState.QUEUED
    assert site.run(ids[0]).epoch == 1


def test_a_worker_that_is_drained_takes_over_nothing(site: Site) -> None:
    worker = site.start()
    worker.drain()
    run_id = site.submit("outputs()")
    assert site.stores.runs.claim("gone", SCRIPT) is not None
    worker.poke()
    time.sleep(0.5)
    assert (site.run(run_id).worker, worker.is_drained) == ("gone", True)


def test_a_workflow_that_is_not_attached_is_fetched_first(site: Site) -> None:
    fetcher = FakeFetcher(pages={"http://h/w2.py": "outputs(n=2)"})
    site.start(fetcher=fetcher)
    run = site.wait(site.submit("outputs(n=1)", url="http://h/w2.py#part"))
    assert (run.state, run.outputs) == (RunState.COMPLETE, {"n": 2})
    assert run.system_logs[0] == "It was fetched."
    assert (fetcher.orders[0].language, len(fetcher.orders)) == ("SCRIPT", 1)
    source = site.folders.folder(run.id).logs / "workflow-source.json"
    assert json.loads(source.read_text()) == {"url": "http://h/w2.py", "files": 1}


@pytest.mark.parametrize(
    ("problem", "state"),
    [
        (EngineError("http://h/w.py does not exist"), RunState.EXECUTOR_ERROR),
        (SystemFailure("http://h/w.py: its server answered 503"), RunState.SYSTEM_ERROR),
    ],
)
def test_a_workflow_that_can_not_be_fetched_ends_the_run_with_a_sentence(
    site: Site, problem: WesError, state: RunState
) -> None:
    site.start(fetcher=FakeFetcher(problem=problem))
    run = site.wait(site.submit("outputs()", url="http://h/w.py"))
    assert (run.state, run.reason) == (state, str(problem))
    assert site.stores.tasks.counts(run.id) == {}


def test_a_fetch_stops_when_its_run_is_canceled_or_its_worker_ends(site: Site) -> None:
    worker = site.start(fetcher=FakeFetcher(slow=True))
    canceled, stopped = (site.submit("outputs()", url="http://h/w.py") for _ in range(2))
    for run_id in (canceled, stopped):
        site.wait(run_id, RunState.INITIALIZING)
    site.stores.runs.cancel(ANONYMOUS, canceled)
    began = time.monotonic()
    worker.poke()
    assert site.wait(canceled).state is RunState.CANCELED
    assert time.monotonic() - began < 30
    worker.stop()
    assert (site.run(stopped).state, site.stores.runs.holders()) == (RunState.INITIALIZING, {"w0": None})
