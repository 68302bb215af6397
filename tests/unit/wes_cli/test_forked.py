"""A fork that becomes a `wes` program; tried in a process of its own, as pytest's has threads."""

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from wes_cli.forked import ForkedProgram

FORK = """
import os, subprocess, sys
from pathlib import Path
from wes_cli.forked import ForkedProgram
kept = open(sys.argv[1] + ".kept", "w")
program = ForkedProgram(sys.argv[2:], {"PATH": os.environ["PATH"], "COLUMNS": "80"}, Path(sys.argv[1]))
"""
WAIT = "print(program.wait(60), program.poll())"


def forked(log: Path, *arguments: str, then: str = WAIT) -> str:
    argv = [sys.executable, "-c", FORK + then, str(log), *arguments]
    return subprocess.check_output(argv, text=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "code", "printed"),
    [(["--version"], 0, "wes-tes "), (["nothing"], 2, "No such command"), (["api", "--port", "many"], 2, "--port")],
)
def test_it_ends_as_the_program_would_and_its_output_is_in_the_log(
    tmp_path: Path, arguments: list[str], code: int, printed: str
) -> None:
    assert forked(tmp_path / "log", *arguments) == f"{code} {code}\n"
    assert printed in (tmp_path / "log").read_text()


def test_one_that_runs_on_is_told_apart_and_has_its_name_its_session_and_its_environment(open_tmp: Path) -> None:
    look = """
import psutil, time
while not psutil.Process(program.pid).name().startswith("wes tes"):
    time.sleep(0.05)
opened = [file.path for file in psutil.Process(program.pid).open_files()]
print(program.poll(), os.getsid(program.pid) == program.pid, kept.name in opened)
try:
    program.wait(0.2)
except subprocess.TimeoutExpired:
    print("still there")
os.kill(program.pid, 9)
print(program.wait(60))
"""
    said = forked(open_tmp / "log", "tes", "--data", str(open_tmp / "tes"), "--uds", str(open_tmp / "s"), then=look)
    assert said.splitlines() == ["None True False", "still there", "-9"]


def test_it_does_not_outlive_what_forked_it(open_tmp: Path) -> None:
    die = "print(program.pid, flush=True); os.kill(os.getpid(), 9)"
    argv = [sys.executable, "-c", FORK + die, str(open_tmp / "log"), "tes", "--data", str(open_tmp / "tes")]
    pid = int(subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False).stdout)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.wait_procs([psutil.Process(pid)], timeout=60)
    assert not psutil.pid_exists(pid)


def test_a_process_with_threads_is_not_forked(tmp_path: Path) -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="several threads"):
            ForkedProgram(["--version"], {}, tmp_path / "log")
    finally:
        ended.set()
        thread.join()
