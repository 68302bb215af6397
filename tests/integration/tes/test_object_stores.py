"""Inputs and outputs in a real S3 store, whose keys only this server has."""

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.tes.conftest import make_open_folder
from tests.integration.tes.server import TesServer, log_of, system_logs, tes_server
from tests.s3_fixture import S3Server, real_s3

LIMIT = 20_000_000
NAMES = ("plain", "two words", "a#b", "50%", "a%20b", "ü/😀", "?x=1&y", "[a]*{b}", "'\"", "deep/er/still")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with real_s3() as server:
        yield server


@pytest.fixture(scope="module")
def far(s3: S3Server) -> Iterator[TesServer]:
    """A server that has no folder in common with anybody."""
    folder = make_open_folder()
    table = s3.settings.model_dump(mode="json", exclude_defaults=True)
    lines = [f'[stores."{s3.url}"]', *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    (folder / "wes.toml").write_text("\n".join(lines))
    try:
        settings = {"WES_CONFIG": str(folder / "wes.toml"), "TES_MAX_INPUT_BYTES": str(LIMIT), "TES_FETCH_RETRIES": "1"}
        with tes_server(folder, **settings) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def outputs_of(task: Any) -> dict[str, tuple[str, str]]:
    return {one["url"]: (one["path"], one["size_bytes"]) for one in task["logs"][0]["outputs"]}


def keys_below(s3: S3Server, folder: str) -> dict[str, int]:
    return {key.removeprefix(f"{folder}/"): size for key, size in s3.keys().items() if key.startswith(f"{folder}/")}


def content(s3: S3Server, url: str) -> bytes:
    return b"".join(bytes(chunk) for chunk in s3.stores.open(url).chunks)


def test_files_go_through_a_store_under_whatever_name_they_have(far: TesServer, s3: S3Server) -> None:
    for name in NAMES:
        s3.stores.put(f"{s3.url}/names/in/{name}", name.encode())
    task = far.run(
        "sh",
        "-c",
        'cat "/one/a name" && cp -r /in/. /out/ && echo made > /out/made',
        inputs=[
            {"path": "/one/a name", "url": f"{s3.url}/names/in/a#b"},
            {"path": "/in", "url": f"{s3.url}/names/in", "type": "DIRECTORY"},
        ],
        outputs=[{"path": "/out", "url": f"{s3.url}/names/out", "type": "DIRECTORY"}],
    )
    assert task["state"] == "COMPLETE", system_logs(task)
    assert log_of(task)["stdout"] == "a#b"
    stored = keys_below(s3, "names/out")
    assert stored == {**{name: len(name.encode()) for name in NAMES}, "made": 5}
    assert outputs_of(task) == {
        f"{s3.url}/names/out/{name}": (f"/out/{name}", str(size)) for name, size in stored.items()
    }
    assert content(s3, f"{s3.url}/names/out/ü/😀") == "ü/😀".encode()


def test_wildcards_and_streams_are_stored_after_a_failure_too(far: TesServer, s3: S3Server) -> None:
    task = far.run(
        "sh",
        "-c",
        "touch /out/a.txt /out/b.txt /out/c.dat; echo said; exit 3",
        executor={"stdout": "/logs/stdout"},
        outputs=[
            {"path": "/out/*.txt", "path_prefix": "/out", "url": f"{s3.url}/failed/"},
            {"path": "/logs/stdout", "url": f"{s3.url}/failed/log"},
            {"path": "/out/none", "url": f"{s3.url}/failed/none"},
        ],
    )
    assert task["state"] == "EXECUTOR_ERROR"
    assert set(keys_below(s3, "failed")) == {"a.txt", "b.txt", "log"}
    assert content(s3, f"{s3.url}/failed/log") == b"said\n"
    assert set(outputs_of(task)) == {f"{s3.url}/failed/{name}" for name in ("a.txt", "b.txt", "log")}


def test_an_output_that_is_missing_is_a_system_error_with_its_path(far: TesServer, s3: S3Server) -> None:
    outputs = [{"path": f"/out/{name}", "url": f"{s3.url}/missing/{name}"} for name in ("here", "gone")]
    task = far.run("touch", "/out/here", outputs=outputs)
    assert task["state"] == "SYSTEM_ERROR"
    assert "the output /out/gone is missing" in system_logs(task)
    assert s3.keys()["missing/here"] == 0


def test_a_large_file_goes_in_parts_and_comes_back_the_same(far: TesServer, s3: S3Server) -> None:
    data = os.urandom(LIMIT)
    s3.stores.put(f"{s3.url}/large/in", data)
    task = far.run(
        "cp",
        "/in/x",
        "/out/x",
        inputs=[{"path": "/in/x", "url": f"{s3.url}/large/in"}],
        outputs=[{"path": "/out/x", "url": f"{s3.url}/large/out"}],
    )
    assert task["state"] == "COMPLETE", system_logs(task)
    assert content(s3, f"{s3.url}/large/out") == data


def test_what_is_larger_than_the_limit_is_refused(far: TesServer, s3: S3Server) -> None:
    for name in ("a", "b"):
        s3.stores.put(f"{s3.url}/limit/{name}", bytes(LIMIT // 2 + 1))
    s3.stores.put(f"{s3.url}/beyond", bytes(LIMIT + 1))
    file = far.run("true", inputs=[{"path": "/in/x", "url": f"{s3.url}/beyond"}])
    folder = far.run("true", inputs=[{"path": "/in/x", "url": f"{s3.url}/limit", "type": "DIRECTORY"}])
    for task in (file, folder):
        assert task["state"] == "SYSTEM_ERROR"
        assert f"the {LIMIT} bytes that this server fetches" in system_logs(task)


@pytest.mark.parametrize(("key", "type_"), [("none", "FILE"), ("none", "DIRECTORY"), ("pre/a", "DIRECTORY")])
def test_what_is_not_in_the_store_is_a_system_error_that_names_it(
    far: TesServer, s3: S3Server, key: str, type_: str
) -> None:
    s3.stores.put(f"{s3.url}/pre/a.txt", b"not in pre/a")
    task = far.run("true", inputs=[{"path": "/in/x", "url": f"{s3.url}/{key}", "type": type_}])
    assert task["state"] == "SYSTEM_ERROR"
    assert f"{s3.url}/{key}" in system_logs(task)


def test_a_key_that_begins_with_another_one_is_another_one(far: TesServer, s3: S3Server) -> None:
    for name in ("same", "same.txt", "same2/x"):
        s3.stores.put(f"{s3.url}/begins/{name}", name.encode())
    task = far.run("cat", "/in/same", inputs=[{"path": "/in/same", "url": f"{s3.url}/begins/same"}])
    assert log_of(task)["stdout"] == "same"
    task = far.run("ls", "/in", inputs=[{"path": "/in", "url": f"{s3.url}/begins/same2", "type": "DIRECTORY"}])
    assert log_of(task)["stdout"] == "x\n"


def test_a_folder_of_thousands_comes_whole(far: TesServer, s3: S3Server) -> None:
    folder = s3.folder / "data" / s3.bucket / "many"
    folder.mkdir()
    for number in range(2_500):
        (folder / f"file-{number}").write_text("x")
    task = far.run("sh", "-c", "ls /in | wc -l", inputs=[{"path": "/in", "url": f"{s3.url}/many", "type": "DIRECTORY"}])
    assert log_of(task)["stdout"].strip() == "2500"


def test_what_several_tasks_read_is_sent_once(far: TesServer, s3: S3Server) -> None:
    s3.stores.put(f"{s3.url}/shared/x", bytes(2_000_000))
    inputs = [{"path": "/in/x", "url": f"{s3.url}/shared/x"}, {"path": "/work/x", "url": f"{s3.url}/shared/x"}]
    ids = [
        far.submit("sh", "-c", "echo mine >> x; wc -c < /in/x", inputs=inputs, executor={"workdir": "/work"})
        for _ in range(4)
    ]
    assert [log_of(far.ended(one))["stdout"].strip() for one in ids] == ["2000000"] * 4
    statuses = [one.status for one in s3.requests() if one.key == "shared/x" and one.operation == "GetObject"]
    assert sorted(statuses) == [200, *[304] * 7]
    s3.stores.put(f"{s3.url}/shared/x", bytes(3_000_000))
    task = far.run("sh", "-c", "wc -c < /in/x", inputs=inputs)
    assert log_of(task)["stdout"].strip() == "3000000"


def test_other_buckets_are_refused_and_what_works_is_told(far: TesServer, s3: S3Server) -> None:
    assert far.client.get("/service-info").json()["storage"][-1] == s3.url
    executors = [{"image": "i", "command": ["c"]}]
    for bucket in ("s3://other", f"{s3.url}2", "gs://runs"):
        task = {"executors": executors, "outputs": [{"path": "/out/x", "url": f"{bucket}/x"}]}
        answer = far.client.post("/tasks", json=task)
        assert answer.status_code == 400
        assert "outputs[0].url: no object store is configured here" in answer.text


def test_no_task_and_no_log_has_the_keys(far: TesServer, s3: S3Server) -> None:
    s3.stores.put(f"{s3.url}/keys/x", b"x")
    task = far.run(
        "sh",
        "-c",
        "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; true",
        inputs=[{"path": "/in/x", "url": f"{s3.url}/keys/x"}],
    )
    lost = far.run("true", inputs=[{"path": "/in/x", "url": f"{s3.url}/keys/none"}])
    assert lost["state"] == "SYSTEM_ERROR"
    assert task["state"] == "COMPLETE"
    told = far.client.get("/tasks", params={"view": "FULL"}).text
    files = [far.folder / "server.log", *far.data.glob("tes.sqlite*")]
    told += "".join(path.read_bytes().decode(errors="replace") for path in files)
    assert s3.secret_access_key not in told
    assert s3.access_key_id not in told


def test_a_store_that_is_away_for_a_while_is_waited_for(far: TesServer, s3: S3Server) -> None:
    s3.stores.put(f"{s3.url}/away/x", b"x")
    s3.stop()
    try:
        task_id = far.submit("cat", "/in/x", inputs=[{"path": "/in/x", "url": f"{s3.url}/away/x"}])
        lost = far.run("true", inputs=[{"path": "/in/x", "url": f"{s3.url}/away/x"}])
        assert lost["state"] == "SYSTEM_ERROR"
        assert f"the input {s3.url}/away/x can't be fetched" in system_logs(lost)
        assert far.state(task_id) == "SYSTEM_ERROR"
    finally:
        s3.start()
    assert far.run("true", inputs=[{"path": "/in/x", "url": f"{s3.url}/away/x"}])["state"] == "COMPLETE"
