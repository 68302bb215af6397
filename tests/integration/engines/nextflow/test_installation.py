"""Nextflow as it is installed, from the real repository."""

import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from common.engine import Installation
from engines.install import install
from engines.nextflow.jars import read_lock
from engines.nextflow.java import SYSTEM_FOLDERS
from engines.nextflow.plugin.build import JAR, compile_classes, compiler, manifest_of
from engines.nextflow.recipe import JARS_LOCK, NextflowRecipe
from sandbox.host_etc import is_hidden
from sandbox.identity import can_reach, foreign_identity
from tests.engine_fixtures import SANDBOX_UID, EngineRuns, Tes, install_for_tests
from tests.integration.engines.nextflow.conftest import NextflowRuns


def test_a_second_install_returns_at_once(nextflow_installation: Installation) -> None:
    assert install_for_tests("nextflow") == nextflow_installation
    assert nextflow_installation.version == "25.04.4"


def test_every_jar_of_the_lock_file_is_there_and_whole(nextflow_installation: Installation) -> None:
    for jar in read_lock(JARS_LOCK):
        assert (nextflow_installation.environment / "jars" / jar.name).stat().st_size == jar.size


def java(installation: Installation, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Java with the options of every run, as the user that engines run as."""
    environment = installation.environment
    argv = [*foreign_identity(SANDBOX_UID).argv(), str(environment / "java/bin/java"), f"@{environment / 'java.args'}"]
    return subprocess.run([*argv, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd="/")


def test_the_engines_user_can_run_it_and_the_archive_of_classes_fits(nextflow_installation: Installation) -> None:
    # With `on` Java ends where it can't use the archive, instead of starting slowly.
    done = java(nextflow_installation, "-Xshare:on", "-version")
    assert done.returncode == 0, done.stderr
    assert "sharing" in done.stderr


def test_an_older_executor_is_replaced(nextflow_installation: Installation, open_tmp: Path) -> None:
    # A copy: other tests may run the one that is installed.
    environment = open_tmp / "environment"
    shutil.copytree(nextflow_installation.environment, environment, symlinks=True)
    plugin = environment / "jars" / "wes-nextflow.jar"
    plugin.write_bytes(b"old")
    (environment / "DIGEST").write_text("old")
    NextflowRecipe().refresh(environment)
    assert plugin.read_bytes() == JAR.read_bytes()
    assert java(replace(nextflow_installation, environment=environment), "-Xshare:on", "-version").returncode == 0
    assert not list(environment.glob(".training*"))
    if os.geteuid() == 0:
        assert {path.stat().st_uid for path in environment.iterdir()} == {0}


@pytest.mark.skipif(shutil.which("javac") is None, reason="compares with what a Java compiler makes")
def test_the_jar_in_the_repository_is_what_its_sources_compile_to(nextflow_installation: Installation) -> None:
    classes = compile_classes(nextflow_installation.environment / "jars")
    with zipfile.ZipFile(JAR) as jar:
        kept = {name: jar.read(name) for name in jar.namelist() if name.endswith(".class")}
    assert set(kept) == set(classes)
    if manifest_of(JAR)["Created-By"] == compiler():
        assert kept == classes


def test_a_compiled_class_needs_no_newer_java_than_promised() -> None:
    with zipfile.ZipFile(JAR) as jar:
        majors = {jar.read(name)[7] for name in jar.namelist() if name.endswith(".class")}
    assert majors == {61}


def test_the_readable_folders_hold_what_java_needs(nextflow_installation: Installation) -> None:
    home = (nextflow_installation.environment / "java").resolve()
    security = (home / "conf" / "security" / "java.security").resolve()
    readable = (*SYSTEM_FOLDERS, *nextflow_installation.readable, nextflow_installation.environment)
    assert any(security.is_relative_to(folder) for folder in readable)
    assert not security.is_relative_to("/etc") or not is_hidden(str(security.relative_to("/etc")))


@pytest.fixture
def repository(nextflow_installation: Installation) -> Iterator[str]:
    """A Maven repository with the jars that are there already."""
    jars = nextflow_installation.environment / "jars"

    class Repository(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = (jars / self.path.rpartition("/")[2]).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Repository)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_without_a_java_one_is_fetched_and_runs_start_from_it(open_tmp: Path, repository: str, tes: Tes) -> None:
    identity = foreign_identity(SANDBOX_UID)
    lines: list[str] = []
    installed = install(
        "nextflow",
        None,
        open_tmp / "engines",
        lines.append,
        # As on a machine whose Java, if any, is of no use.
        may_read=lambda path: can_reach(identity, path) and path.name != "java",
        maven_url=repository,
    )
    assert "no Java 17 to 24 found that engines can run: fetching one" in lines
    home = (installed.environment / "java").resolve()
    assert home.is_relative_to(installed.environment)
    assert java(installed, "-Xshare:on", "-version").returncode == 0
    run = NextflowRuns(runs=EngineRuns(installation=installed, tes=tes, workflow="main.nf")).new(
        "process HELLO { publishDir 'results'\n output: path 'hello.txt'\n script: 'echo hello > hello.txt' }\n"
        "workflow { HELLO()\n println System.getProperty('java.home') }\n"
    )
    assert list(run.start().outputs()) == ["hello.txt"]
    assert str(home) in (run.folder.logs / "stdout").read_text()
