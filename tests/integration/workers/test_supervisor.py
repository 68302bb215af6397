"""A worker's supervisor with a real gateway, a real sandbox and a real process for an engine."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from tests.fakes.fetcher import FakeFetcher
from tests.fakes.stores import FakeClock, FakeStores
from tests.fakes.tes_server import BadTes
from tests.integration.workers.conftest import UID
from tests.integration.workers.script_engine import ScriptEngine, installed
from wes_service.core.engine import Installation
from wes_service.core.errors import EngineError, SystemFailure, WesError
from wes_service.core.ports import Lease, WorkerInfo
from wes_service.core.run import ANONYMOUS, Run, RunRequest
from wes_service.core.state import TERMINAL, RunState
from wes_service.launch.identity import foreign_identity
from wes_service.launch.sandbox import probe, write_sandbox_files
from wes_service.settings import Settings
from wes_service.storage.run_folders import RunFolders
from workers.gateway.routes import BASE
from workers.gateway.server import Gateway
from workers.launcher import INSIDE_PORT, Launcher
from workers.run.attempt import Bench
from workers.run.prepare import Place
from workers.run.supervisor import Pace, Supervisor


@dataclass(kw_only=True)
class Site:
    """A worker and what it works on; `submit` does what the API does."""

    stores: FakeStores
    clock: FakeClock
    folders: RunFolders
    bench: Bench
    tes: BadTes
    workers: list[Supervisor]
    slots: int = 2

    def start(self, **changes: object) -> Supervisor:
        bench = replace(self.bench, **changes)  # type: ignore[arg-type]
        name = f"w{len(self.workers)}"
        made = Supervisor(
            bench,
            self.stores.workers,
            lambda: WorkerInfo(id=name, host="h", engines={"script": ("1.0",)}),
            Pace(slots=self.slots, lease_seconds=8),
        )
        self.workers.append(made)
        made.start()
        return made

    def submit(self, text: str, name: str = "w.py", url: str | None = None) -> str:
        run_id = f"run-{len(self.stores.runs.page(ANONYMOUS, 100, None).items)}"
        with self.folders.stage() as staging:
            folder = self.folders.commit(staging, run_id)
        identity = self.bench.identity
        identity.make_folder(folder.root)
        identity.make_folder(folder.attachments)
        (folder.attachments / name).write_text(text)
        identity.own(folder.attachments / name)
        request = RunRequest(workflow_type="SCRIPT", workflow_type_version="1.0", workflow_url=url or name)
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


@pytest.fixture
def site(open_tmp: Path, tes: BadTes) -> Iterator[Site]:
    clock = FakeClock()
    stores = FakeStores(clock)
    identity = foreign_identity(UID)
    settings = Settings(data=open_tmp, tes_urls=(tes.url,), poll_seconds=0.1, tes_patience_seconds=2)
    folders = RunFolders(open_tmp / "runs", identity)
    folders.prepare()
    gateway = Gateway(settings, stores.tasks, clock, open_tmp / "gw", on_tcp=False)
    gateway.start()
    launcher = Launcher(identity, probe(identity), write_sandbox_files(open_tmp / "sandbox"), gateway.folder)
    engine = ScriptEngine()
    bench = Bench(
        runs=stores.runs,
        tasks=stores.tasks,
        folders=folders,
        gateway=gateway,
        launcher=launcher,
        identity=identity,
        clock=clock,
        engine_named=lambda name: engine if name == "script" else None,
        installed=lambda: tuple(installed()),
        place=Place(tes_url=f"http://127.0.0.1:{INSIDE_PORT}{BASE}", default_image="debian", allowed_data=()),
        fetcher=FakeFetcher(),
        min_free_gb=0,
        closing_seconds=5,
    )
    made = Site(stores=stores, clock=clock, folders=folders, bench=bench, tes=tes, workers=[])
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


def test_a_full_disk_and_a_missing_engine_say_what_to_do(site: Site) -> None:
    site.start(min_free_gb=1e9)
    run = site.wait(site.submit("outputs()"))
    assert run.state is RunState.SYSTEM_ERROR
    assert "free some disk" in (run.reason or "")
    site.workers.pop().stop()
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
    assert time.monotonic() - began < 4
    assert (run.state, run.reason) == (RunState.CANCELED, "The run was cancelled.")
    assert site.stores.tasks.open(run_id) == []
    assert not _processes(run_id)


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
    assert not _processes(run_id)
    site.tes.stop_on_cancel = True
    assert site.wait(run_id).state is RunState.CANCELED


def test_an_engine_that_is_killed_leaves_no_open_task(site: Site) -> None:
    site.start()
    site.tes.script = ["RUNNING"]
    run_id = site.submit("submit('a'); submit('b'); time.sleep(4711)")
    _until(lambda: len(site.tes.bodies) == 2)
    for process in _processes(run_id):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    run = site.wait(run_id)
    assert run.state is RunState.EXECUTOR_ERROR
    assert site.stores.tasks.open(run_id) == []


def test_a_worker_that_is_stopped_says_so_in_its_runs(site: Site) -> None:
    site.start()
    run_id = site.submit("time.sleep(4711)")
    site.wait(run_id, RunState.RUNNING)
    site.workers.pop().stop()
    run = site.run(run_id)
    assert run.state is RunState.SYSTEM_ERROR
    assert "The worker was stopped" in (run.reason or "")
    assert not _processes(run_id)


def test_the_run_of_a_lost_worker_ends_in_system_error_and_its_tasks_are_cancelled(site: Site) -> None:
    site.tes.script = ["RUNNING"]
    run_id = site.submit("outputs()")
    claimed = site.stores.runs.claim("dead", {"script": ("1.0",)}, 5)
    assert claimed is not None
    site.stores.runs.move(Lease(run_id=run_id, worker="dead", epoch=claimed.epoch), RunState.RUNNING)
    site.clock.advance(60)
    site.start()
    run = site.wait(run_id)
    assert run.state is RunState.SYSTEM_ERROR
    assert "worker that ran it was lost" in (run.reason or "")
    site.tes.script = ["COMPLETE"]
    assert site.wait(site.submit("step('next'); outputs()")).state is RunState.COMPLETE


def test_a_worker_that_loses_its_lease_ends_the_engine_and_writes_nothing(site: Site) -> None:
    site.start()
    run_id = site.submit("time.sleep(4711)")
    site.wait(run_id, RunState.RUNNING)
    site.clock.advance(60)
    taken = site.stores.runs.take_over("other", 1000)
    assert taken is not None
    site.workers[0].poke()
    _until(lambda: not _processes(run_id))
    time.sleep(0.3)
    assert (site.run(run_id).state, site.run(run_id).worker) == (RunState.RUNNING, "other")


def test_a_worker_that_can_not_renew_ends_its_engines_before_the_lease_ends(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.start()
    site.tes.script = ["RUNNING"]
    run_id = site.submit("submit('branch'); time.sleep(4711)")
    _until(lambda: len(site.tes.bodies) == 1)
    site.wait(run_id, RunState.RUNNING)
    hung = threading.Event()
    monkeypatch.setattr(type(site.stores.runs), "renew", lambda *_: hung.wait(30) and {})
    began = time.monotonic()
    _until(lambda: not _processes(run_id), 12)
    assert time.monotonic() - began < 8, "the lease lasts 8 s"
    hung.set()
    assert site.run(run_id).state is RunState.RUNNING
    assert site.tes.canceled == set(), "its tasks are left to who takes the run over"


def test_no_more_runs_than_slots_at_once(site: Site) -> None:
    site.start()
    ids = [site.submit("time.sleep(0.7); outputs()") for _ in range(4)]
    site.wait(ids[0], RunState.RUNNING)
    running = [site.run(run_id).state for run_id in ids]
    assert running.count(RunState.QUEUED) >= 2
    assert all(site.wait(run_id).state is RunState.COMPLETE for run_id in ids)


def _processes(run_id: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if (
            words
            and words[0].endswith(("python3", "bwrap"))
            and any(f"{run_id}/control/program.py" in w for w in words)
        ):
            found.append(process)
    return found


def _until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


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
    assert time.monotonic() - began < 2
    worker.stop()
    run = site.run(stopped)
    assert run.state is RunState.SYSTEM_ERROR
    assert run.reason == "The worker was stopped while it prepared this: submit the run again."
