"""A real docker engine for tests, started for one session, with an image made here: nothing is pulled.

`WES_TEST_DOCKER` is `0` where a machine can have none (then the tests that need it are not run, and say so); else an
engine that answers already is used, and where none does, root starts one of its own.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import PATIENCE

IMAGE = "wes-tes-test-base:2"
BUSYBOX = Path("/bin/busybox")
BASH = Path("/bin/bash")
"""Nextflow's and WDL's steps want it; the machine's own, with its libraries, goes into the image."""
APPLETS = (
    "sh awk basename cat chmod cp cut date dd dirname echo env find grep head id ln ls mkdir mkfifo mktemp mv printf "
    "ps pwd rm sed seq sleep sort stat tail tee test timeout touch tr true uname wc xargs yes"
)


def wanted() -> bool:
    """Whether the tests in containers are to be run; without an engine they then fail."""
    return os.environ.get("WES_TEST_DOCKER", "1" if os.geteuid() == 0 or answers({}) else "0") == "1"


@dataclass(frozen=True, kw_only=True)
class Docker:
    """`environment` is what a client of the engine needs; `image` has a shell and a few programs of busybox."""

    environment: Mapping[str, str]
    image: str = IMAGE

    def __call__(self, *arguments: str, stdin: bytes | None = None) -> str:
        environment = {**os.environ, **self.environment}
        ran = subprocess.run(["docker", *arguments], capture_output=True, check=False, env=environment, input=stdin)
        assert ran.returncode == 0, ran.stderr.decode()
        return ran.stdout.decode().strip()


def answers(environment: Mapping[str, str]) -> bool:
    """Whether an engine answers the docker command."""
    if shutil.which("docker") is None:
        return False
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(asked, capture_output=True, check=False, env={**os.environ, **environment}).returncode == 0


@contextmanager
def docker_engine() -> Iterator[Docker]:
    """The engine, with the test image in it."""
    if answers({}):
        docker = Docker(environment={})
        make_image(docker)
        yield docker
        return
    with _started() as docker:
        make_image(docker)
        yield docker


@contextmanager
def _started() -> Iterator[Docker]:
    assert shutil.which("dockerd"), "no docker engine: 'apt-get install docker.io', or WES_TEST_DOCKER=0"
    folder = Path(tempfile.mkdtemp(prefix="wes-docker-", dir="/var/tmp"))
    socket = folder / "docker.sock"
    argv = [
        "dockerd",
        "--data-root",
        str(folder / "data"),
        "--exec-root",
        str(folder / "exec"),
        "-H",
        f"unix://{socket}",
    ]
    # No bridge and no rules: the containers of the tests have no network, and the host's stays as it is.
    argv += ["--pidfile", str(folder / "pid"), "--bridge=none", "--iptables=false", "--ip6tables=false"]
    docker = Docker(environment={"DOCKER_HOST": f"unix://{socket}"})
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(docker.environment):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield docker
    finally:
        process.terminate()
        process.wait(30)
        subprocess.run(["rm", "-rf", str(folder)], check=False)


def make_image(docker: Docker) -> None:
    """An image that is told from this machine by a file which only it has; it has a shell, bash, and busybox."""
    if docker("images", "--quiet", IMAGE):
        return
    assert BUSYBOX.exists(), "no busybox: 'apt-get install busybox-static', or WES_TEST_DOCKER=0"
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for name in ("bin", "etc", "tmp", "usr/bin"):
            (root / name).mkdir(parents=True)
        shutil.copy(BUSYBOX, root / "bin/busybox")
        for path in (BASH, *_libraries(BASH)):
            (root / path.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / path.relative_to("/"))
        for applet in APPLETS.split():
            (root / "bin" / applet).symlink_to("busybox")
        (root / "marker").write_text("this is the image\n")
        (root / "tmp").chmod(0o1777)
        packed = root.with_suffix(".tar")
        with tarfile.open(packed, "w") as tar:
            tar.add(root, arcname="/")
        try:
            docker("import", str(packed), IMAGE)
        finally:
            packed.unlink()


def _libraries(program: Path) -> list[Path]:
    """The shared libraries that a program of this machine is linked to."""
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    return [Path(word) for word in listed.split() if word.startswith("/")]
