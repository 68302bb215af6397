"""A service for each kind of wall, a run that is to stay unharmed, and every hostile workflow beside it."""

import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.attacks.hostile import ATTACKS, CPUS, Submission, attacks
from tests.acceptance.attacks.targets import Targets, state_of, targets_of
from tests.acceptance.conftest import open_folder
from tests.acceptance.snakemake.conftest import snakemake_installations
from tests.acceptance.stack import Wes, attachment
from tests.container_engine import Docker, wanted
from tests.engine_fixtures import engines_folder
from tests.http_client import http
from tests.waiting import until
from tests.wdl_fixtures import wdl_installation

__all__ = ["snakemake_installations", "wdl_installation"]

VICTIM = """\
cwlVersion: v1.2
class: CommandLineTool
requirements: {DockerRequirement: {dockerPull: IMAGE}}
baseCommand: [sh, -c, 'cat "$0"; sleep SECONDS; cat "$0"']
inputs: {secret: {type: File, inputBinding: {}}}
stdout: said.txt
outputs: {said: stdout}
"""
ENGINES = {"cwltool", "snakemake", "nextflow", "miniwdl"}
RUNNERS = ["bubblewrap", pytest.param("docker", marks=pytest.mark.skipif(not wanted(), reason="no container engine"))]
LIMITS = {
    "TES_PROCESSES": "60",
    "TES_LOG_GB": "0.05",
    "WES_ENGINE_PROCESSES": "200",
    "WES_ENGINE_MEMORY_GB": "1.5",
    "WES_ENGINE_LOG_GB": "0.05",
    "WES_RUN_DISK_GB": "1",
}
"""Smaller than by default, so that they are met soon."""
SLOTS = len(ATTACKS) + 2


@dataclass(frozen=True, kw_only=True)
class Fort:
    """A service under attack. `runner` is how its TES runs steps, `image` what they name, `home` somebody's files."""

    wes: Wes
    runner: str
    image: str
    home: Path

    def victim(self, seconds: int) -> tuple[str, str]:
        """A run that goes on for `seconds`, and the secret that it has; its step runs on return."""
        secret = secrets.token_hex(16)
        document = VICTIM.replace("IMAGE", self.image).replace("SECONDS", str(seconds))
        form = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "main.cwl"}
        form["workflow_params"] = '{"secret": {"class": "File", "location": "secret.txt"}}'
        run_id = self.wes.submit(form, [attachment("main.cwl", document), attachment("secret.txt", secret + "\n")])
        self.wes.wait(run_id, "RUNNING")
        until(lambda: [task["state"] for task in self.tasks(run_id)] == ["RUNNING"], self.wes.said)
        return run_id, secret

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """The run's tasks, each as the TES view shows it in full."""
        listed = self.wes.get(f"/runs/{run_id}/tasks?page_size=1000")["task_logs"]
        return [http.get(one["tes_uri"], params={"view": "FULL"}).json() for one in listed]

    def folder(self, run_id: str) -> Path:
        return self.wes.data / "runs" / run_id


@pytest.fixture(scope="module", params=RUNNERS)
def fort(
    request: pytest.FixtureRequest,
    cwl_installation: object,
    nextflow_installation: object,
    snakemake_installations: None,
    wdl_installation: object,
) -> Iterator[Fort]:
    folder = open_folder()
    home = folder / "home"
    home.mkdir(mode=0o755)
    (home / "secret.txt").write_text(secrets.token_hex(16))
    environment = {"WES_SLOTS": str(SLOTS), "TES_RUNNER": request.param, "TES_CPUS": str(CPUS), **LIMITS}
    environment["WES_ENGINE_NETWORK"] = "public"
    image = "docker.io/library/debian:12"
    if request.param == "docker":
        docker: Docker = request.getfixturevalue("docker")
        environment |= docker.environment
        image = docker.image
    wes = Wes(data=folder / "data", engines=engines_folder(), environment=environment).start()
    try:
        assert set(wes.get("/service-info")["workflow_engine_versions"]) >= ENGINES
        yield Fort(wes=wes, runner=request.param, image=image, home=home)
    finally:
        wes.stop()
        # Some of it is deeper than Python can go.
        subprocess.run(["rm", "-rf", folder], check=False)


@dataclass(frozen=True, kw_only=True)
class Siege:
    """All hostile workflows are over, and so is the run beside them. `before` is what was there when they began."""

    fort: Fort
    targets: Targets
    victim: str
    secret: str
    before: Mapping[str, Mapping[str, bytes | str]]
    attackers: Mapping[str, tuple[str, Submission]]
    ended: Mapping[str, Any]


@pytest.fixture(scope="module")
def siege(fort: Fort) -> Siege:
    victim, secret = fort.victim(45)
    targets = targets_of(fort.wes, victim, fort.home)
    before = {name: state_of(fort.folder(victim) / name) for name in ("attachments", "control")}
    before["home"] = state_of(fort.home)
    submissions = {name: attack(targets, fort.image, fort.runner) for name, attack in attacks(fort.runner).items()}
    attackers = {name: (fort.wes.submit(one.form, one.parts), one) for name, one in submissions.items()}
    ended = {name: fort.wes.wait(run_id, seconds=300) for name, (run_id, _) in attackers.items()}
    ended["victim"] = fort.wes.wait(victim)
    return Siege(
        fort=fort,
        targets=targets,
        victim=victim,
        secret=secret,
        before=before,
        attackers=attackers,
        ended=ended,
    )
