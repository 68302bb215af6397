"""Commands for tests are forked from a process that has imported them, and behave as programs of their own."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.program_server import StartedProgram, run_wes
from tests.waiting import until


def test_a_command_ends_with_its_code_and_what_it_said() -> None:
    done = run_wes("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wes-tes ")
    refused = run_wes("nothing")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "No such command" in refused.stderr


def test_a_program_can_be_told_to_end_and_is_gone_then(open_tmp: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "TES_DATA": str(open_tmp / "tes"), "TES_UDS": str(open_tmp / "s")}
    log = open_tmp / "log"
    program = StartedProgram(["tes"], environment, log)
    until(lambda: log.exists() and "tes.started" in log.read_text())
    process = psutil.Process(program.pid)
    assert (program.poll(), process.cmdline()[0]) == (None, "wes tes")
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.1)
    program.send_signal(signal.SIGKILL)
    assert psutil.wait_procs([process], timeout=60)[1] == []
    assert program.wait(60) == program.poll() == -signal.SIGKILL
