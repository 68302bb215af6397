"""What is installed from the wheel serves without the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.http_client import http
from tests.waiting import PATIENCE
from wes_cli.private_server import free_port

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PACKAGES = (*PROJECT["tool"]["importlinter"]["root_packages"], "openapi")
NOT_SHIPPED = {".java", ".pyc"}


def packed_files() -> set[str]:
    found = [path for package in PACKAGES for path in (REPOSITORY / package).rglob("*") if path.is_file()]
    return {str(path.relative_to(REPOSITORY)) for path in found if path.suffix not in NOT_SHIPPED}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheel")


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    """Built from a copy, as a build leaves its own files in the tree."""
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(REPOSITORY / name, source / name)
    argv = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(source),
    ]
    subprocess.run(argv, check=True, cwd=folder)
    (built,) = folder.glob("wes_tes-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(folder: Path, wheel: Path) -> Path:
    """`wes` in a new environment that has nothing of ours but the wheel; other packages are those of this Python."""
    place = folder / "environment"
    venv.create(place, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True, cwd=folder)
    library = place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # Packages found this way come after the environment's own, and .pth files in there are not followed.
    (library / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "wes"


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WES_", "PYTHON"))}
    return {**kept, **more}


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == packed_files()


def test_the_command_tells_its_version(installed: Path) -> None:
    argv = [str(installed), "--version"]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True, cwd="/", env=clean_environment())
    assert ran.stdout.startswith("wes-tes ")


def test_nothing_comes_from_the_checkout(installed: Path, folder: Path) -> None:
    code = f"import {', '.join(PACKAGES[:-1])}; print({', '.join(f'{name}.__path__[0]' for name in PACKAGES[:-1])})"
    argv = [str(installed.with_name("python")), "-c", code]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True, cwd="/", env=clean_environment())
    assert all(place.startswith(str(folder / "environment")) for place in ran.stdout.split())


@pytest.fixture
def served(installed: Path, open_tmp: Path) -> Iterator[str]:
    port = free_port()
    environment = clean_environment(
        WES_DATA=str(open_tmp / "data"), WES_PORT=str(port), WES_REDIS_URL="redis://127.0.0.1:1/0"
    )
    with (open_tmp / "log").open("wb") as log:
        server = subprocess.Popen([installed, "api"], cwd="/", env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while "listening" not in (said := (open_tmp / "log").read_text()):
            assert server.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def test_the_api_serves(served: str) -> None:
    info = http.get(f"{served}/ga4gh/wes/v1/service-info")
    assert info.status_code == httpx.codes.OK, info.text
    assert info.json()["supported_wes_versions"] == ["1.1.0"]
    assert http.get(f"{served}/ga4gh/wes/v1/runs").json()["runs"] == []
    assert http.get(f"{served}/ga4gh/tes/v1/service-info").status_code == httpx.codes.OK
