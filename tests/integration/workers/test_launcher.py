"""An engine's process in the real sandbox: what it sees, what it reaches, and how it ends."""

import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from common.engine import RUN_ROOT, EngineCommand, Installation, RunFolder
from sandbox.bubblewrap import SandboxProbe, probe, write_sandbox_files
from sandbox.egress import EgressProxy
from sandbox.identity import Identity, foreign_identity
from sandbox.limits import GIB
from sandbox.network import NetworkPolicy
from tests.integration.workers.conftest import UID, Rig
from tests.waiting import PATIENCE, until
from workers.launcher import ENGINE_LIMITS, INSIDE_PORT, Launch, Launcher, RunningEngine

PYTHON = "/usr/bin/python3"
FETCH = f"""
import json, sys, urllib.request
request = urllib.request.Request("http://127.0.0.1:{INSIDE_PORT}/ga4gh/tes/v1/tasks",
    headers={{"Authorization": "Bearer " + open(sys.argv[1]).read()}})
print(json.load(urllib.request.urlopen(request, timeout=10)))
"""

ASK = """
import sys, urllib.request
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url.replace("127.0.0.1", "127.0.0.2"), timeout=20).status)
    except Exception as error:
        print(error)
"""

Start = Callable[..., RunningEngine]


@pytest.fixture
def identity() -> Identity:
    return foreign_identity(UID)


@pytest.fixture
def found(identity: Identity) -> SandboxProbe:
    result = probe(identity)
    assert result.works, f"{result.problem}: {result.fix}"
    return result


@pytest.fixture
def folder(open_tmp: Path, identity: Identity) -> RunFolder:
    folder = RunFolder(root=open_tmp / "runs" / "r9")
    (open_tmp / "runs").mkdir()
    for path in (folder.root, folder.attachments, folder.work, folder.control, folder.logs):
        identity.make_folder(path)
    (folder.control / "token").write_text("of r9")
    identity.own(folder.control / "token")
    return folder


@pytest.fixture
def launcher(open_tmp: Path, identity: Identity, found: SandboxProbe, rig: Rig) -> Iterator[Launcher]:
    egress = EgressProxy(rig.gateway.folder, NetworkPolicy(), [identity.uid])
    egress.start()
    made = Launcher(identity, found, write_sandbox_files(open_tmp / "sandbox"), rig.gateway.folder, egress=egress)
    yield made
    made.close()
    egress.stop()


@pytest.fixture
def start(launcher: Launcher, folder: RunFolder, open_tmp: Path) -> Iterator[Start]:
    started: list[RunningEngine] = []

    def run(*argv: str, **fields: str) -> RunningEngine:
        installation = Installation(engine="probe", version="1", environment=Path("/usr/share"))
        command = EngineCommand(argv=argv, environment=fields, stop_signal="SIGINT")
        seen = launcher.seen(folder)
        started.append(launcher.start(Launch(command=command, folder=seen, installation=installation)))
        return started[-1]

    yield run
    for engine in started:
        engine.kill()


def output(folder: RunFolder) -> str:
    return (folder.logs / "stdout").read_text()


def test_an_engine_reaches_its_gateway_and_nothing_else(start: Start, folder: RunFolder, rig: Rig) -> None:
    (folder.control / "token").write_text(rig.session.token)
    assert start(PYTHON, "-c", FETCH, str(RUN_ROOT / "control" / "token")).wait(PATIENCE) == 0
    assert output(folder) == "{'tasks': []}\n"
    port = rig.tes.url.split(":")[2].split("/")[0]
    reach = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
    assert start(PYTHON, "-c", reach).wait(PATIENCE) == 1
    assert "refused" in (folder.logs / "stderr").read_text()


def test_an_engine_has_a_way_out_that_leads_to_public_addresses_only(start: Start, folder: RunFolder, rig: Rig) -> None:
    engine = start(PYTHON, "-c", ASK, rig.tes.url, "http://169.254.169.254/latest/meta-data", "https://[fd00::1]/")
    assert engine.wait(PATIENCE) == 0
    here, metadata, private = output(folder).splitlines()
    assert "403" in here
    assert "the address 127.0.0.2, which is not a public one" in here
    assert "403" in metadata
    assert "Tunnel connection failed: 403 the host fd00::1 has the address fd00::1, which is not a public" in private
    assert len(engine.refused_hosts) == 3
    # Its way out is not another one's, and is gone with it.
    assert start("sh", "-c", "find / -xdev -name '*.sock'").wait(PATIENCE) == 0
    assert sorted(output(folder).splitlines()[3:]) == ["/egress.sock", "/gw.sock"]
    assert [path.name for path in rig.gateway.folder.iterdir()] == ["gw.sock"]


def test_exit_codes_and_signals_come_through(start: Start) -> None:
    assert start("sh", "-c", "exit 7").wait(PATIENCE) == 7
    assert start("sh", "-c", "kill -9 $$").wait(PATIENCE) == -9


def test_an_engine_writes_to_its_own_work_folder_only(start: Start, folder: RunFolder) -> None:
    script = f"""
        echo kept > kept
        for place in / /usr /etc {RUN_ROOT}/attachments {RUN_ROOT}/control {RUN_ROOT} /wes {folder.root}; do
            (echo x > $place/x) 2>/dev/null && echo "wrote to $place"
        done
        true
    """
    assert start("sh", "-c", script).wait(PATIENCE) == 0
    assert output(folder) == ""
    kept = folder.work / "kept"
    assert kept.read_text() == "kept\n"
    assert kept.stat().st_uid == (UID if os.geteuid() == 0 else os.geteuid())


def test_an_engine_sees_no_other_run_no_settings_no_home_and_no_logs(
    start: Start, folder: RunFolder, open_tmp: Path
) -> None:
    (open_tmp / "wes.sqlite").write_text("all runs")
    (open_tmp / "runs" / "other").mkdir()
    places = [open_tmp / "wes.sqlite", open_tmp / "runs" / "other", folder.logs, Path.home() / ".ssh", Path("/root")]
    script = "; ".join(f"test -e {place} && echo sees {place}" for place in places)
    start("sh", "-c", f"{script}; ls /home {folder.root.parent}; ls /wes {RUN_ROOT}; pwd").wait(PATIENCE)
    listed = ["/home:", "/wes:", "run", f"{RUN_ROOT}:", "attachments", "control", "work", f"{RUN_ROOT}/work"]
    assert output(folder).split() == listed


def test_the_command_line_names_the_run_at_its_root_but_for_the_mounts(launcher: Launcher, folder: RunFolder) -> None:
    seen = launcher.seen(folder)
    assert seen.seen == RunFolder(root=RUN_ROOT)
    installation = Installation(engine="probe", version="1", environment=Path("/usr/share"))
    argv = launcher.argv(Launch(command=EngineCommand(argv=("true",)), folder=seen, installation=installation))
    here = [index for index, word in enumerate(argv) if word.startswith(str(folder.root))]
    mounted = ("/wes/run/attachments", "/wes/run/control", "/wes/run/work")
    assert sorted(argv[index + 1] for index in here) == list(mounted)


def test_the_environment_is_what_the_command_says_and_holds_nothing_of_the_server(
    start: Start, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WES_SECRET_OF_SERVER", "secret")
    script = "cat /proc/1/environ /proc/self/environ | tr '\\0' '\\n' | grep -c SECRET; env | sort"
    start("sh", "-c", script, COLOR="green").wait(PATIENCE)
    lines = output(folder).splitlines()
    assert lines[0] == "0"
    assert {"COLOR=green", "HOME=/home", "TMPDIR=/tmp"} <= set(lines)


def test_an_engine_is_not_root_and_has_no_capabilities(start: Start, folder: RunFolder) -> None:
    start("sh", "-c", "id -u; grep CapEff /proc/self/status; cat /proc/sys/kernel/core_pattern >/dev/null").wait(
        PATIENCE
    )
    lines = output(folder).split()
    assert lines[0] == "1000"
    assert int(lines[2], 16) == 0


def test_stop_sends_the_engines_signal_first(start: Start, folder: RunFolder) -> None:
    engine = start("sh", "-c", "trap 'echo bye; exit 0' INT; echo ready; while :; do sleep 0.05; done")
    until(lambda: "ready" in output(folder))
    engine.stop()
    assert "bye" in output(folder)


def test_an_engine_that_will_not_stop_is_gone_in_two_seconds_with_all_its_children(
    start: Start, folder: RunFolder
) -> None:
    engine = start("sh", "-c", "trap '' INT TERM; (setsid sleep 4242 &) ; echo ready; while :; do sleep 0.05; done")
    until(lambda: "ready" in output(folder))
    began = time.monotonic()
    engine.stop()
    assert time.monotonic() - began < 30
    until(lambda: not _running("4242"))


def test_a_command_that_is_not_there_says_so(start: Start, folder: RunFolder) -> None:
    assert start("/no/such/engine").wait(PATIENCE) == 127
    assert "could not be started" in (folder.logs / "stderr").read_text()


def test_without_a_sandbox_the_engine_still_runs_as_somebody_else_and_ends_when_told(
    open_tmp: Path, identity: Identity, folder: RunFolder
) -> None:
    off = SandboxProbe(works=False, problem="none here", fix="install it")
    launcher = Launcher(identity, off, write_sandbox_files(open_tmp / "sandbox"), open_tmp)
    assert launcher.seen(folder) == folder
    installation = Installation(engine="probe", version="1", environment=Path("/usr/share"))
    script = "id -u; trap '' INT TERM; while :; do sleep 0.05; done"
    command = EngineCommand(argv=("sh", "-c", script), environment={"PATH": os.defpath})
    engine = launcher.start(Launch(command=command, folder=folder, installation=installation))
    until(lambda: output(folder) != "")
    assert output(folder).strip() == str(identity.uid)
    children = psutil.Process(engine.pid).children(recursive=True)
    assert children
    engine.stop()
    until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))
    launcher.close()


def test_without_a_sandbox_limits_hold_from_the_first_instruction_however_late_the_user_is_changed(
    open_tmp: Path, identity: Identity, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = open_tmp / "bin"
    slow.mkdir()
    (slow / "setpriv").write_text(f'#!/bin/sh\nsleep 1\nexec {shutil.which("setpriv")} "$@"\n')
    (slow / "setpriv").chmod(0o755)
    path = f"{slow}:{os.defpath}"
    monkeypatch.setenv("PATH", path)
    off = SandboxProbe(works=False, problem="none here", fix="install it")
    launcher = Launcher(identity, off, write_sandbox_files(open_tmp / "sandbox"), open_tmp)
    installation = Installation(engine="probe", version="1", environment=Path("/usr/share"))
    command = EngineCommand(argv=("sh", "-c", "ulimit -d; ulimit -n"), environment={"PATH": path})
    engine = launcher.start(Launch(command=command, folder=folder, installation=installation))
    assert engine.wait(PATIENCE) == 0
    data, files = output(folder).split()
    assert int(data) * 1024 < 12 * GIB
    assert int(files) == ENGINE_LIMITS.kernel(sandboxed=False)[resource.RLIMIT_NOFILE]
    launcher.close()


def test_programs_find_their_settings_in_etc_and_secrets_are_not_there(start: Start, folder: RunFolder) -> None:
    script = "ls /etc; cat /etc/passwd; grep -c . /etc/os-release"
    assert start("sh", "-c", script).wait(PATIENCE) == 0
    shown = output(folder).split()
    assert "ld.so.cache" in shown
    assert not {"shadow", "gshadow", "ssh", "sudoers", "machine-id", "resolv.conf"} & set(shown)
    assert "run:x:1000:1000:run:/home:/bin/sh" in shown


def test_secrets_are_not_in_the_command_line(launcher: Launcher, folder: RunFolder, rig: Rig) -> None:
    installation = Installation(engine="probe", version="1", environment=Path("/usr/share"))
    launch = Launch(command=EngineCommand(argv=("true",)), folder=folder, installation=installation)
    assert rig.session.token not in " ".join(launcher.argv(launch))
    assert "of r9" not in " ".join(launcher.argv(replace(launch)))


def _running(word: str) -> bool:
    return any(
        word in process.info["cmdline"] for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"]
    )
