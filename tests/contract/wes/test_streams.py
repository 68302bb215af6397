"""Logs and outputs: content, ranges, and what may not be reached."""

import os
from pathlib import Path

import httpx
import pytest

from common.json_types import JsonObject
from tes.task import TaskState
from tests.contract.wes.harness import Api
from tests.contract.wes.test_tasks import two_by_two
from wes_service.core.ports import RunChange
from wes_service.core.run import Run, RunState

TEXT = b"".join(b"line %d\n" % number for number in range(100))
SHA256 = "a" * 64


def test_a_log_that_was_not_written_is_empty_text(api: Api) -> None:
    run = api.started()
    api.add_task(run, "t1")
    for route in ("logs/stdout", "logs/stderr", "tasks/t1/logs/stdout", "tasks/t1/logs/stderr"):
        response = api.get(f"/runs/{run.id}/{route}")
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-type"] == "text/plain; charset=utf-8"


def test_the_engines_streams_are_kept_apart_and_grow(api: Api) -> None:
    run = api.started()
    for content in (b"so far", b"so far, and on"):
        api.write_log(run.id, "stdout", content)
        assert api.get(f"/runs/{run.id}/logs/stdout").content == content
    assert api.get(f"/runs/{run.id}/logs/stderr").content == b""


def test_a_tasks_streams_are_whole_files(api: Api) -> None:
    run = api.started()
    api.add_task(run, "t1")
    api.write_log(run.id, "tasks/t1/stderr", b"\xff\x00 not text")
    response = api.get(f"/runs/{run.id}/tasks/t1/logs/stderr")
    assert response.content == b"\xff\x00 not text"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_each_executor_of_the_last_attempt_has_its_file_and_earlier_ones_what_the_tes_kept(api: Api) -> None:
    run = api.started()
    api.end_task(api.add_task(run, "t1"), TaskState.COMPLETE, two_by_two())
    api.write_log(run.id, "tasks/t1/stdout", b"first")
    api.write_log(run.id, "tasks/t1/stdout.1", b"second")
    read = {
        name: api.get(f"/runs/{run.id}/tasks/{name}/logs/stdout").text
        for name in ("t1.0.0", "t1.0.1", "t1.1.0", "t1.1.1")
    }
    assert read == {"t1.0.0": "kept 0", "t1.0.1": "kept 1", "t1.1.0": "first", "t1.1.1": "second"}


@pytest.mark.parametrize("stream", ["stdin", "stdout.1", "STDOUT", "tasks", "%2e%2e%2fcontrol"])
def test_there_are_no_other_streams(api: Api, stream: str) -> None:
    run = api.started()
    assert api.get(f"/runs/{run.id}/logs/{stream}").status_code == 404


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-19", 10, 20),
        ("bytes=700-", 700, 790),
        ("bytes=-20", 770, 790),
        ("bytes=-2000", 0, 790),
        ("bytes=780-99999", 780, 790),
        ("bytes=789-", 789, 790),
    ],
)
def test_a_range_is_answered_in_part(api: Api, header: str, start: int, end: int) -> None:
    run = api.started()
    api.write_log(run.id, "stdout", TEXT)
    response = api.get(f"/runs/{run.id}/logs/stdout", headers={"Range": header})
    assert response.status_code == 206
    assert response.content == TEXT[start:end]
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/790"
    assert response.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("header", ["bytes=0-1,4-5", "lines=1-2", "bytes=5-1", "bytes=x-y", "nonsense", "bytes="])
def test_a_range_that_may_be_ignored_is(api: Api, header: str) -> None:
    run = api.started()
    api.write_log(run.id, "stdout", TEXT)
    response = api.get(f"/runs/{run.id}/logs/stdout", headers={"Range": header})
    assert (response.status_code, response.content) == (200, TEXT)
    assert response.headers["accept-ranges"] == "bytes"


def test_a_range_after_the_end_is_a_416_that_tells_the_size(api: Api) -> None:
    run = api.started()
    api.write_log(run.id, "stdout", TEXT)
    response = api.get(f"/runs/{run.id}/logs/stdout", headers={"Range": "bytes=790-"})
    assert response.status_code == 416
    assert response.headers["content-range"] == "bytes */790"


def test_the_tail_of_an_empty_log_is_all_of_it(api: Api) -> None:
    run = api.started()
    response = api.get(f"/runs/{run.id}/logs/stdout", headers={"Range": "bytes=-2000"})
    assert (response.status_code, response.content) == (200, b"")


def test_head_tells_the_size_without_the_content(api: Api) -> None:
    run = api.started()
    api.write_log(run.id, "stdout", TEXT)
    response = api.request("HEAD", f"/runs/{run.id}/logs/stdout")
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "790")


def complete(api: Api, files: dict[str, bytes], outputs: JsonObject) -> Run:
    run = api.started()
    work = api.folders.folder(run.id).work
    for name, content in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content)
    return api.end(run, RunState.COMPLETE, RunChange(outputs=outputs))


def file(path: str, **more: str | int | list[JsonObject]) -> JsonObject:
    return {"class": "File", "location": f"wes-output:{path}", **more}


def output(api: Api, run: Run, path: str, **options: object) -> httpx.Response:
    return api.get(f"/runs/{run.id}/outputs/{path}", **options)


def test_outputs_are_listed_with_what_was_recorded_of_them(api: Api) -> None:
    found = file("a/b.txt", size=5, checksum="sha1$x", sha256=SHA256, secondaryFiles=[file("a/b.txt.idx")])
    run = complete(api, {}, {"found": found, "number": 3})
    url = f"http://localhost:8080/ga4gh/wes/v1/runs/{run.id}/outputs/a/b.txt"
    assert api.json(f"/runs/{run.id}/outputs")["outputs"] == [
        {
            "name": "found",
            "path": "a/b.txt",
            "url": url,
            "size": 5,
            "sha256": SHA256,
            "checksum": "sha1$x",
            "media_type": "text/plain; charset=utf-8",
        },
        {"name": "found", "path": "a/b.txt.idx", "url": f"{url}.idx", "media_type": "application/octet-stream"},
    ]


def test_a_run_without_outputs_lists_none(api: Api) -> None:
    assert api.json(f"/runs/{api.submit()}/outputs") == {"outputs": []}


def test_an_output_of_any_depth_and_name_is_sent_with_its_type(api: Api) -> None:
    name = "deep/er/naïve ☃ #1 100%?.svg"
    location = "deep/er/na%C3%AFve%20%E2%98%83%20%231%20100%25%3F.svg"
    run = complete(api, {name: b"<svg/>"}, {"plot": file(location)})
    (listed,) = api.json(f"/runs/{run.id}/outputs")["outputs"]
    assert listed["path"] == name
    response = api.client.get(listed["url"])
    assert (response.status_code, response.content) == (200, b"<svg/>")
    assert response.headers["content-type"] == "image/svg+xml"


def test_an_output_page_can_run_no_script_here(api: Api) -> None:
    run = complete(api, {"report.html": b"<script>alert(1)</script>"}, {"report": file("report.html")})
    headers = output(api, run, "report.html").headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-security-policy"].startswith("sandbox")
    assert "script-src" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_an_interrupted_download_goes_on_where_it_is_the_same_file(api: Api) -> None:
    run = complete(api, {"a": TEXT}, {"a": file("a", sha256=SHA256)})
    assert output(api, run, "a").headers["etag"] == f'"{SHA256}"'
    same = output(api, run, "a", headers={"Range": "bytes=100-", "If-Range": f'"{SHA256}"'})
    other = output(api, run, "a", headers={"Range": "bytes=100-", "If-Range": '"other"'})
    assert (same.status_code, same.content) == (206, TEXT[100:])
    assert (other.status_code, other.content) == (200, TEXT)


@pytest.mark.parametrize("header", [f'"{SHA256}"', f'W/"{SHA256}"', f'"x", "{SHA256}"', "*"])
def test_an_output_that_the_client_has_is_not_sent_again(api: Api, header: str) -> None:
    run = complete(api, {"a": TEXT}, {"a": file("a", sha256=SHA256)})
    response = output(api, run, "a", headers={"If-None-Match": header, "Range": "bytes=99999999-"})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == f'"{SHA256}"'
    assert "content-length" not in response.headers


def test_another_output_than_the_client_has_is_sent(api: Api) -> None:
    run = complete(api, {"a": TEXT}, {"a": file("a", sha256=SHA256)})
    assert output(api, run, "a", headers={"If-None-Match": '"other"'}).content == TEXT


def test_files_of_a_folder_are_listed_and_sent(api: Api) -> None:
    folder: JsonObject = {"class": "Directory", "location": "wes-output:out"}
    run = complete(api, {"out/a": b"1", "out/sub/b": b"2", "outside": b"3"}, {"all": folder})
    assert [entry["path"] for entry in api.json(f"/runs/{run.id}/outputs")["outputs"]] == ["out/a", "out/sub/b"]
    assert output(api, run, "out/sub/b").content == b"2"
    assert output(api, run, "out").status_code == 404
    assert output(api, run, "out/").status_code == 404
    assert output(api, run, "outside").status_code == 404


def test_a_listing_takes_the_place_of_its_folder(api: Api) -> None:
    folder: JsonObject = {"class": "Directory", "location": "wes-output:out", "listing": [file("out/a")]}
    run = complete(api, {"out/a": b"1"}, {"all": folder})
    assert [entry["path"] for entry in api.json(f"/runs/{run.id}/outputs")["outputs"]] == ["out/a"]


@pytest.mark.parametrize(
    "path",
    [
        "b",
        "a/../b",
        "../attachments/main.cwl",
        "%2e%2e/attachments/main.cwl",
        "/etc/passwd",
        "a%00",
        "%2e/a",
        "A",
        "a/b",
    ],
)
def test_what_is_no_output_is_a_404(api: Api, path: str) -> None:
    run = complete(api, {"a": b"1", "b": b"2"}, {"a": file("a")})
    assert output(api, run, path).status_code == 404


def test_links_are_followed_only_while_they_stay_inside(api: Api, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    names = ("inside", "outside", "up", "loop", "pipe", "folder")
    run = complete(api, {"real/a": b"1"}, {name: file(name) for name in (*names, "away/secret")})
    work = api.folders.folder(run.id).work
    (work / "inside").symlink_to("real/a")
    (work / "outside").symlink_to(secret)
    (work / "up").symlink_to("../attachments/main.cwl")
    (work / "loop").symlink_to("loop")
    (work / "away").symlink_to(tmp_path)
    (work / "folder").mkdir()
    os.mkfifo(work / "pipe")
    assert output(api, run, "inside").content == b"1"
    for name in ("outside", "up", "loop", "pipe", "folder", "away/secret"):
        assert output(api, run, name).status_code == 404


def test_a_folder_that_is_a_link_to_elsewhere_is_listed_empty(api: Api, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/secret").write_bytes(b"secret")
    run = complete(api, {"real/a": b"1"}, {"all": {"class": "Directory", "location": "wes-output:out"}})
    work = api.folders.folder(run.id).work
    (work / "out").symlink_to(tmp_path / "other")
    assert api.json(f"/runs/{run.id}/outputs") == {"outputs": []}
    (work / "out").unlink()
    (work / "out").mkdir()
    (work / "out/link").symlink_to(tmp_path / "other/secret")
    assert api.json(f"/runs/{run.id}/outputs") == {"outputs": []}


def test_a_log_that_is_a_link_to_elsewhere_is_empty(api: Api, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    run = api.started()
    (api.folders.folder(run.id).logs / "stdout").symlink_to(secret)
    assert api.get(f"/runs/{run.id}/logs/stdout").content == b""


def test_an_output_that_was_removed_is_a_404(api: Api) -> None:
    run = complete(api, {}, {"gone": file("gone")})
    assert output(api, run, "gone").status_code == 404
