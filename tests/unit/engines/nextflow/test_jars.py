import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from common.errors import SystemFailure
from engines.nextflow.jars import ATTEMPTS, Jar, fetch_jars, read_lock
from engines.nextflow.recipe import JARS_LOCK

DATA = b"a jar"
JAR = Jar(path="org/x/x/1/x-1.jar", size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
Answer = Callable[[httpx.Request], httpx.Response]


def fetch(folder: Path, answer: Answer, said: list[str] | None = None) -> None:
    lines: list[str] = [] if said is None else said
    transport = httpx.MockTransport(answer)
    fetch_jars([JAR], "https://maven.test/repo/", folder, lines.append, transport=transport, sleep=lambda _: None)


def test_jars_come_from_the_repository_that_is_named(tmp_path: Path) -> None:
    asked: list[str] = []
    said: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, content=DATA)

    fetch(tmp_path, answer, said)
    assert asked == ["https://maven.test/repo/org/x/x/1/x-1.jar"]
    assert (tmp_path / "x-1.jar").read_bytes() == DATA
    assert "https://maven.test/repo/" in said[0]


def test_a_server_that_stumbles_is_asked_again(tmp_path: Path) -> None:
    answers = iter([httpx.Response(503), httpx.Response(200, content=b"broken"), httpx.Response(200, content=DATA)])
    fetch(tmp_path, lambda _: next(answers))
    assert (tmp_path / "x-1.jar").read_bytes() == DATA


def test_another_file_than_the_locked_one_is_never_kept(tmp_path: Path) -> None:
    asked = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        return httpx.Response(200, content=b"evil")

    with pytest.raises(SystemFailure, match=r"x-1\.jar could not be downloaded: what came is not the file"):
        fetch(tmp_path, answer)
    assert asked == ATTEMPTS
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_said_in_words(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    with pytest.raises(SystemFailure, match=r"maven\.test can't be reached: no route \(WES_MAVEN_URL names another"):
        fetch(tmp_path, answer)


def test_a_jar_that_is_not_there_is_not_asked_for_again(tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match="HTTP 404"):
        fetch(tmp_path, lambda _: httpx.Response(404))


def test_the_lock_file_is_complete_and_holds_nothing_that_only_tests_need() -> None:
    jars = read_lock(JARS_LOCK)
    assert len(jars) == 57
    assert all(len(jar.sha256) == 64 and jar.size > 0 and jar.path.endswith(".jar") for jar in jars)
    names = {jar.name for jar in jars}
    assert {"nextflow-25.04.4.jar", "nf-lang-25.04.0.jar"} <= names
    assert not [name for name in names if "spock" in name or "groovy-test" in name or "lib-trace" in name]
