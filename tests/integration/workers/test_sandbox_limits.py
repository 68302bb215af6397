"""Engines that take too much: each is ended, or can't, and an engine beside it goes on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.engine import EngineCommand, Installation, RunFolder
from gateway.server import SOCKET_NAME
from sandbox.bubblewrap import probe, write_sandbox_files
from sandbox.identity import Identity, foreign_identity
from sandbox.limits import MIB, ResourceLimits, limits_processes_per_namespace
from tests.integration.workers.test_launcher import PYTHON
from tests.waiting import PATIENCE, until
from workers.launcher import Launch, Launcher, RunningEngine

UID = 64321
LIMITS = ResourceLimits(memory_bytes=200 * MIB, processes=40, disk_bytes=100 * MIB, log_bytes=20 * MIB)
BOMB = """
import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except OSError as error:
    print(made, error.strerror, flush=True)
time.sleep({seconds})
"""
EATERS = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        held = bytearray(os.urandom(1024)) * (70 * 1024)
        time.sleep(60)
time.sleep(60)
"""
GROWING = """
import time
held = []
while True:
    held.append(bytearray(b"x" * 10 * 1024 * 1024))
    time.sleep(0.01)
"""
FILLER = """
import time
for number in range(1000):
    with open(f"part{number}", "wb") as part:
        part.write(b"x" * 8 * 1024 * 1024)
    time.sleep(0.02)
time.sleep(60)
"""
TALKER = """
import sys
while True:
    sys.stdout.write("again and again\\n" * 4096)
"""
QUIET = "import time; time.sleep(2); open('done', 'w').write('yes')"


def make_folder(top: Path, name: str, identity: Identity) -> RunFolder:
    folder = RunFolder(root=top / name)
    for path in (folder.root, folder.attachments, folder.work, folder.control, folder.logs):
        identity.make_folder(path)
    return folder


@pytest.fixture
def launcher(open_tmp: Path) -> Iterator[Launcher]:
    identity = foreign_identity(UID)
    (open_tmp / "gw").mkdir()
    (open_tmp / "gw" / SOCKET_NAME).touch()
    found = probe(identity)
    assert found.works, found.problem
    made = Launcher(identity, found, write_sandbox_files(open_tmp / "sandbox"), open_tmp / "gw", LIMITS, 0)
    yield made
    made.close()


@pytest.fixture
def begin(launcher: Launcher, open_tmp: Path) -> Iterator[Callable[..., tuple[RunningEngine, RunFolder]]]:
    started: list[RunningEngine] = []

    def run(name: str, script: str) -> tuple[RunningEngine, RunFolder]:
        folder = make_folder(open_tmp, name, foreign_identity(UID))
        installation = Installation(engine="probe", version="1", environment=Path("/usr/share"))
        launch = Launch(command=EngineCommand(argv=(PYTHON, "-c", script)), folder=folder, installation=installation)
        started.append(launcher.start(launch))
        return started[-1], folder

    yield run
    for engine in started:
        engine.kill()


Begin = Callable[[str, str], tuple[RunningEngine, RunFolder]]


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (EATERS, "the engine used more memory than its limit of 0.21 GB (WES_ENGINE_MEMORY_GB)"),
        (GROWING, "the engine used more memory than its limit of 0.21 GB (WES_ENGINE_MEMORY_GB)"),
        (FILLER, "the run used more disk than its limit of 0.105 GB (WES_RUN_DISK_GB)"),
        (TALKER, "the engine wrote more to stdout than its limit of 0.021 GB (WES_ENGINE_LOG_GB)"),
    ],
    ids=["several processes", "one process", "disk", "log"],
)
def test_an_engine_that_takes_too_much_is_ended_with_a_sentence_and_the_one_beside_it_is_not(
    begin: Begin, script: str, problem: str
) -> None:
    quiet, beside = begin("quiet", QUIET)
    greedy, _ = begin("greedy", script)
    # What writes fast may meet the limit of the kernel before it is ended.
    assert greedy.wait(PATIENCE) != 0
    assert greedy.problem == problem
    assert quiet.wait(PATIENCE) == 0
    assert quiet.problem == ""
    assert (beside.work / "done").read_text() == "yes"


@pytest.mark.skipif(
    not limits_processes_per_namespace(), reason="this kernel counts the processes of all sandboxes together"
)
def test_a_fork_bomb_has_its_own_limit_of_processes_and_none_of_another(begin: Begin) -> None:
    first, one = begin("one", BOMB.format(seconds=60))
    until(lambda: (one.logs / "stdout").read_text() != "")
    second, two = begin("two", BOMB.format(seconds=0))
    assert second.wait(PATIENCE) == 0
    for folder in (one, two):
        made, words = (folder.logs / "stdout").read_text().split(maxsplit=1)
        assert 25 < int(made) < 40
        assert words.strip() == "Resource temporarily unavailable"
    assert first.wait(0) is None


def test_no_file_may_be_larger_than_the_limit_of_the_disk(begin: Begin) -> None:
    engine, folder = begin("sparse", "open('big', 'wb').truncate(8 * 1024**4)")
    assert engine.wait(PATIENCE) not in {0, None}
    assert (folder.work / "big").stat().st_size == 0
    assert "File too large" in (folder.logs / "stderr").read_text()


def test_limits_can_not_be_raised_from_inside(begin: Begin) -> None:
    script = """
import resource
for kind in (resource.RLIMIT_NPROC, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
    soft, hard = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (hard + 1, hard + 1))
        print("raised", kind)
    except (ValueError, OSError):
        pass
"""
    engine, folder = begin("raising", script)
    assert engine.wait(PATIENCE) == 0
    assert (folder.logs / "stdout").read_text() == ""


def test_nothing_in_memory_may_be_larger_than_its_limit(open_tmp: Path, launcher: Launcher) -> None:
    folder = make_folder(open_tmp, "tmpfs", foreign_identity(UID))
    installation = Installation(engine="probe", version="1", environment=Path("/usr/share"))
    launch = Launch(
        command=EngineCommand(argv=("df", "-B1", "/tmp", "/home", "/dev/shm")), folder=folder, installation=installation
    )
    engine = launcher.start(launch)
    assert engine.wait(PATIENCE) == 0
    engine.kill()
    sizes = [line.split()[1] for line in (folder.logs / "stdout").read_text().splitlines()[1:]]
    assert sizes == [str(1024**3)] * 3
