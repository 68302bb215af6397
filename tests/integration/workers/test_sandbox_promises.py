"""What the sandbox of an engine promises beyond files: one test for each (acceptance: sandbox)."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.engine import RunFolder
from sandbox.bubblewrap import SandboxProbe
from tests.integration.workers.test_launcher import (  # noqa: F401 - fixtures
    PYTHON,
    Start,
    _running,
    folder,
    found,
    identity,
    launcher,
    output,
    start,
)
from tests.waiting import PATIENCE, until

STATUS = "grep -E '^(NoNewPrivs|Cap...|Seccomp):' /proc/self/status"
USERNS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print("refused" if libc.unshare(0x10000000) else "made one")
"""
TYPE_FOR_THE_TERMINAL = """
import fcntl, os, termios
try:
    terminal = os.open("/dev/tty", os.O_RDWR)
    for letter in b"id\\n":
        fcntl.ioctl(terminal, termios.TIOCSTI, bytes([letter]))
    print("typed")
except OSError as error:
    print("no terminal")
print(os.getsid(0) != 0)
"""
REACH = """
import socket
for address in ("169.254.169.254", "192.0.2.1", "fd00:ec2::254", "::ffff:169.254.169.254", "2001:db8::1", "fe80::1"):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as trial:
        trial.settimeout(3)
        try:
            trial.connect((address, 80))
            print(address, "answers")
        except OSError as error:
            print(address, error.strerror or error)
with open("/proc/net/dev") as devices:
    print([line.split(":")[0].strip() for line in devices if ":" in line])
"""


def test_nothing_below_proc_sys_can_be_written(start: Start, folder: RunFolder) -> None:  # noqa: F811
    script = """
        cd /proc/sys
        for file in kernel/core_pattern kernel/modprobe kernel/hostname vm/overcommit_memory net/ipv4/ip_forward; do
            [ -e $file ] && (echo x > $file) 2>/dev/null && echo "wrote $file"
        done
        (echo b > /proc/sysrq-trigger) 2>/dev/null && echo "wrote sysrq-trigger"
        echo tried
    """
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    assert start("sh", "-c", script).wait(PATIENCE) == 0
    assert output(folder) == "tried\n"
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_there_are_no_new_privileges_and_no_capabilities_to_be_had(start: Start, folder: RunFolder) -> None:  # noqa: F811
    start("sh", "-c", STATUS).wait(PATIENCE)
    status = dict(line.split(":") for line in output(folder).splitlines())
    assert status["NoNewPrivs"].strip() == "1"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind


def test_no_further_user_namespace_can_be_made(start: Start, folder: RunFolder, found: SandboxProbe) -> None:  # noqa: F811
    if "--disable-userns" not in found.features:
        pytest.skip("this bubblewrap does not have --disable-userns (0.8 has)")
    assert start(PYTHON, "-c", USERNS).wait(PATIENCE) == 0
    assert output(folder) == "refused\n"


def test_an_engine_can_not_type_into_the_terminal_of_the_server(start: Start, folder: RunFolder) -> None:  # noqa: F811
    assert start(PYTHON, "-c", TYPE_FOR_THE_TERMINAL).wait(PATIENCE) == 0
    assert output(folder) == "no terminal\nTrue\n"


def test_neither_metadata_nor_any_network_is_reached_by_ipv4_or_ipv6(start: Start, folder: RunFolder) -> None:  # noqa: F811
    assert start(PYTHON, "-c", REACH).wait(PATIENCE) == 0
    *tried, devices = output(folder).splitlines()
    assert len(tried) == 6
    assert not [
        line for line in tried if "unreachable" not in line.lower() and "assign" not in line and "nvalid" not in line
    ]
    assert devices == "['lo']"


def test_what_an_engine_leaves_in_the_background_is_gone_once_it_has_ended(start: Start, folder: RunFolder) -> None:  # noqa: F811
    forever = "while :; do echo more >> late; sleep 0.01; done; : sleeps-4343"
    script = f"(setsid sh -c '{forever}' &); until [ -s late ]; do sleep 0.01; done"
    assert start("sh", "-c", script).wait(PATIENCE) == 0
    size = (folder.work / "late").stat().st_size
    assert not _running("sleeps-4343")
    time.sleep(0.3)
    assert (folder.work / "late").stat().st_size == size


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose the number of the next process")
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_process_that_got_the_number_of_an_ended_engine_is_not_hit(start: Start, end: str) -> None:  # noqa: F811
    engine = start("true")
    assert engine.wait(PATIENCE) == 0
    innocent = with_number(engine.pid)
    try:
        getattr(engine, end)()
        time.sleep(0.1)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def with_number(pid: int) -> "subprocess.Popen[bytes]":
    made: list[subprocess.Popen[bytes]] = []

    def one() -> bool:
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        made.append(subprocess.Popen(["sleep", "60"]))
        if made[-1].pid != pid:
            made[-1].kill()
            made[-1].wait()
        return made[-1].pid == pid

    wait_for: Callable[[], bool] = one
    until(wait_for)
    return made[-1]
