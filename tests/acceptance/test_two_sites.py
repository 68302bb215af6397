"""The example of two sites, by its one command."""

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.engine_fixtures import engines_folder

ROOT = Path(__file__).parents[2]
LEFT_BEHIND = "wes-two-sites-"
pytestmark = pytest.mark.usefixtures("cwl_installation")


def test_steps_run_where_their_data_are_and_the_data_stay_there() -> None:
    environment = {**os.environ, "WES_ENGINES": str(engines_folder())}
    command = ["make", "--no-print-directory", "-C", str(ROOT / "examples" / "two-sites")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    routes = [line.split(maxsplit=1) for line in ran.stdout.splitlines() if ": reads s3" in line or ": cost" in line]
    assert {name for name, why in routes if why.startswith("cloud: cost 0, hospital 10")} == {"merge_report"}
    assert sum(why.startswith("hospital: reads s3://hospital/reads/") for _, why in routes) == 9
    assert "files of reads among these: none" in ran.stdout
    assert not list(Path("/var/tmp").glob(f"{LEFT_BEHIND}*"))
    assert not [process for process in psutil.process_iter(["cmdline"]) if LEFT_BEHIND in str(process.info)]
