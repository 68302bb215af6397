"""The archive of classes is made by a Nextflow of its own, which must not outlive who wants it."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil

from tests import waiting

TRAIN = """
import sys
from pathlib import Path
from engines.nextflow.class_archive import make_archive

folder = Path(sys.argv[1])
make_archive(folder / "java", [], folder / "archive.jsa", folder / "training", None)
"""
WAITS_WITHIN = 60.0
until = partial(waiting.until, seconds=WAITS_WITHIN)


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_it_ends_with_a_worker_that_is_killed(open_tmp: Path) -> None:
    noted = open_tmp / "training" / "work" / "pid"
    java = open_tmp / "java"
    java.write_text(f"#!/bin/sh\necho $$ > {noted}.part\nmv {noted}.part {noted}\nexec sleep 600\n")
    java.chmod(0o755)
    worker = subprocess.Popen([sys.executable, "-c", TRAIN, str(open_tmp)])
    try:
        until(noted.exists)
        pid = int(noted.read_text())
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    until(lambda: has_ended(pid))
