"""POST /runs: what is taken."""

import os
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from common.errors import DiskFull, IdempotencyConflict, StoreUnavailable
from tests.contract.wes.harness import FORM, WORKFLOW, Api, attached, raw_form
from wes_service.core.ports import IdempotencyKey, WorkerInfo
from wes_service.core.run import ANONYMOUS, Run, RunState


def test_a_run_is_there_and_queued_right_after_it_was_submitted(api: Api) -> None:
    run_id = api.submit()
    assert api.json(f"/runs/{run_id}/status") == {"run_id": run_id, "state": "QUEUED"}


def test_the_answer_is_the_run_id_and_nothing_else(api: Api) -> None:
    response = api.post_form()
    assert response.status_code == 200
    assert list(response.json()) == ["run_id"]


def test_a_worker_is_woken_for_the_run(api: Api) -> None:
    assert api.queue.woken == [api.submit()] or api.queue.woken


def test_the_row_holds_what_was_submitted(api: Api) -> None:
    changes = {"workflow_params": '{"n": 1}', "tags": '{"a": "b"}', "workflow_engine_parameters": '{"parallel": 3}'}
    run = api.stores.runs.get(ANONYMOUS, api.submit(changes, [attached("main.cwl"), attached("b")]))
    assert run.state is RunState.QUEUED
    assert run.attachments == ("main.cwl", "b")
    assert (run.engine, run.engine_version) == ("cwltool", None)
    assert run.request.workflow_params == {"n": 1}
    assert run.request.tags == {"a": "b"}
    assert run.request.workflow_engine_parameters == {"parallel": "3"}


def test_ids_are_ordered_by_time_and_safe_in_host_names(api: Api) -> None:
    first = api.submit()
    api.clock.advance(0.002)
    second = api.submit()
    assert first < second
    assert all(run_id.isalnum() and run_id == run_id.lower() and len(run_id) <= 32 for run_id in (first, second))


def test_parts_may_carry_content_types(api: Api) -> None:
    kinds = {"workflow_params": "application/json", "tags": "application/json; charset=utf-8"}
    texts = {**FORM, "workflow_params": '{"é": "☃"}', "tags": '{"a": "b"}'}
    parts = [(name, (None, text, kinds.get(name, "text/plain"))) for name, text in texts.items()]
    response = api.request("POST", "/runs", files=[*parts, ("workflow_attachment", ("main.cwl", WORKFLOW, "x/y"))])
    assert response.status_code == 200
    assert api.json(f"/runs/{response.json()['run_id']}")["request"]["workflow_params"] == {"é": "☃"}


def test_a_field_may_be_sent_as_a_file(api: Api) -> None:
    run_id = api.submit(files=[attached("main.cwl"), ("workflow_params", ("params.json", b'{"n": 2}'))])
    assert api.json(f"/runs/{run_id}")["request"]["workflow_params"] == {"n": 2}
    assert not api.folders.folder(run_id).attachments.joinpath("params.json").exists()


@pytest.mark.parametrize("missing", ["workflow_params", "tags", "workflow_engine_parameters"])
def test_a_json_field_may_be_missing_or_empty(api: Api, missing: str) -> None:
    for value in (None, ""):
        assert api.json(f"/runs/{api.submit({missing: value})}")["request"][missing] == {}


@pytest.mark.parametrize("multipart", [True, False])
def test_a_field_that_is_not_known_is_named_with_those_that_are(api: Api, multipart: bool) -> None:
    fields = {**FORM, "workflow_param": "{}"}
    response = (
        api.post_form({"workflow_param": "{}"})
        if multipart
        else api.request("POST", "/runs", data={**fields, "workflow_url": "https://example.org/x.cwl"})
    )
    message = api.message(response, 400)
    assert message.startswith("workflow_param:")
    assert "did you mean 'workflow_params'?" in message
    assert "workflow_attachment" in message
    assert api.stores.runs.counts() == {}


@pytest.mark.parametrize("second", ["sub/a.txt", "./sub/a.txt", "sub//a.txt"])
def test_the_same_attachment_may_come_twice(api: Api, second: str) -> None:
    files = [attached("main.cwl"), attached("sub/a.txt", b"hello"), attached(second, b"hello")]
    run = api.stores.runs.get(ANONYMOUS, api.submit(files=files))
    assert run.attachments == ("main.cwl", "sub/a.txt")
    folder = api.folders.folder(run.id)
    assert (folder.attachments / "sub/a.txt").read_bytes() == b"hello"
    assert [path.name for path in folder.root.iterdir()] == ["attachments"]


def test_two_different_attachments_of_one_name_are_refused_by_name(api: Api) -> None:
    response = api.post_form(files=[attached("main.cwl"), attached("a.txt", b"hello"), attached("./a.txt", b"hallo")])
    message = api.message(response, 400)
    assert message.startswith("workflow_attachment:")
    assert "'a.txt' is there twice, with different contents" in message


@pytest.mark.parametrize("name", ["A:Gln2Cys", "a:b/c.txt", "C:x", "data/1:2", "http:a"])
def test_a_name_with_a_colon_is_a_name(api: Api, name: str) -> None:
    run_id = api.submit(files=[attached("main.cwl"), attached(name, b"hello")])
    assert (api.folders.folder(run_id).attachments / name).read_bytes() == b"hello"


@pytest.fixture
def losing(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """The connection to the database is lost during COMMIT, each time, when all is stored."""
    add = api.stores.runs.add

    def store_and_lose(run: Run, key: IdempotencyKey | None) -> Run:
        add(run, key)
        raise StoreUnavailable

    monkeypatch.setattr(api.stores.runs, "add", store_and_lose)
    return api


def test_a_run_whose_commit_was_not_answered_is_a_run_with_its_files(losing: Api) -> None:
    run_id = losing.submit()
    assert losing.json(f"/runs/{run_id}/status")["state"] == "QUEUED"
    assert (losing.folders.folder(run_id).attachments / "main.cwl").exists()
    assert losing.queue.woken == [run_id]


def test_where_nobody_can_tell_whether_a_run_was_stored_its_files_stay(
    losing: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object) -> Run:
        raise StoreUnavailable

    with monkeypatch.context() as away:
        away.setattr(losing.stores.runs, "get", lose)
        response = losing.post_form()
    assert response.status_code == 503
    assert response.headers["retry-after"]
    (stored,) = losing.stores.runs.page(ANONYMOUS, 10, None).items
    assert (losing.folders.folder(stored.id).attachments / "main.cwl").exists()


@pytest.mark.parametrize("error", [DiskFull("full"), IdempotencyConflict()])
def test_of_a_run_that_was_refused_nothing_stays(api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object) -> Run:
        raise error

    monkeypatch.setattr(api.stores.runs, "add", refuse)
    assert api.post_form().status_code in {409, 500}
    assert [path.name for path in api.folders.root.iterdir() if path.name != ".staging"] == []


@pytest.mark.parametrize("submitted", ["CWL", "cwl", "Cwl"])
def test_the_type_is_taken_in_any_case_and_answered_as_it_was_written(api: Api, submitted: str) -> None:
    run_id = api.submit({"workflow_type": submitted})
    assert api.json(f"/runs/{run_id}")["request"]["workflow_type"] == submitted


@pytest.mark.parametrize("engine", ["cwltool", "CWLTool", "cwl-tes", "CWL-TES"])
def test_an_engine_may_be_named_by_any_of_its_names(api: Api, engine: str) -> None:
    run = api.stores.runs.get(ANONYMOUS, api.submit({"workflow_engine": engine}))
    assert (run.engine, run.request.workflow_engine) == ("cwltool", engine)


def test_a_version_of_the_engine_may_be_asked_for(api: Api) -> None:
    run = api.stores.runs.get(ANONYMOUS, api.submit({"workflow_engine": "cwltool", "workflow_engine_version": "3.1.1"}))
    assert run.engine_version == "3.1.1"


def test_an_engine_that_was_seen_in_the_last_day_still_queues(api: Api) -> None:
    api.clock.advance(timedelta(hours=23).total_seconds())
    assert api.submit()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('{"parallel": "8"}', {"parallel": "8"}),
        ('{"parallel": 8}', {"parallel": "8"}),
        ('{"debug": true}', {"debug": "true"}),
        ('{"debug": "TRUE"}', {"debug": "true"}),
        ('{"share": 0.25}', {"share": "0.25"}),
        ('{"share": 1}', {"share": "1"}),
        ('{"cache": "all"}', {"cache": "all"}),
    ],
)
def test_engine_parameters_become_strings(api: Api, given: str, kept: dict[str, str]) -> None:
    run_id = api.submit({"workflow_engine_parameters": given})
    assert api.json(f"/runs/{run_id}")["request"]["workflow_engine_parameters"] == kept


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("main.cwl", ["main.cwl"]),
        ("./main.cwl", ["main.cwl"]),
        ("main.cwl#main", ["main.cwl"]),
        ("sub/dir/main.cwl", ["sub/dir/main.cwl", "other"]),
        ("sub/../main.cwl", ["main.cwl"]),
        ("my%20workflow.cwl", ["my workflow.cwl"]),
        ("naïve ☃.cwl", ["naïve ☃.cwl"]),
        ("a#b.cwl", ["a#b.cwl"]),
        ("part:1.cwl", ["part:1.cwl"]),
    ],
)
def test_a_workflow_url_names_an_attachment(api: Api, url: str, names: list[str]) -> None:
    run_id = api.submit({"workflow_url": url}, [attached(name) for name in names])
    assert api.json(f"/runs/{run_id}")["request"]["workflow_url"] == url


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/wf.cwl",
        "http://example.org:8080/wf.cwl?x=1#main",
        "https://github.com/o/r/blob/main/wf.cwl",
        "git+https://example.org/r.git@v1.0#wf/main.cwl",
    ],
)
def test_an_absolute_url_is_taken_in_both_kinds_of_form_and_not_fetched_in_the_request(api: Api, url: str) -> None:
    form = {**FORM, "workflow_url": url}
    multipart = [(name, (None, value)) for name, value in form.items()]
    for response in (api.request("POST", "/runs", files=multipart), api.request("POST", "/runs", data=form)):
        assert response.status_code == 200, response.text
        run_id = response.json()["run_id"]
        document = api.json(f"/runs/{run_id}")
        assert (document["request"]["workflow_url"], document["state"]) == (url, "QUEUED")
        assert "workflow_source" not in document
        assert list(api.folders.folder(run_id).attachments.iterdir()) == []


def test_attachments_keep_their_names_folders_and_content(api: Api) -> None:
    contents = {
        "main.cwl": WORKFLOW,
        "sub/a.txt": b"a",
        "sub/deeper/a.txt": b"\0\r\n--not the boundary\r\n" * 1000,
        "with space/naïve ☃.txt": b"",
        "./b.txt": b"b",
        "100%.txt": b"c",
        "a;b='c'.txt": b"d",
    }
    run_id = api.submit(files=[attached(name, content) for name, content in contents.items()])
    for name, content in contents.items():
        assert api.attachment(run_id, name) == content
    assert api.stores.runs.get(ANONYMOUS, run_id).attachments[-3] == "b.txt"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('filename="sub/a.txt"', "sub/a.txt"),
        ("filename=sub.txt", "sub.txt"),
        ('filename="sub/a \\"quoted\\".txt"', 'sub/a "quoted".txt'),
        ('filename="a %22quoted%22.txt"', 'a "quoted".txt'),
        ("filename*=utf-8''sub/na%C3%AFve%20%E2%98%83.txt", "sub/naïve ☃.txt"),
        ("filename*=UTF-8''sub%2Fa.txt", "sub/a.txt"),
        ("filename*0*=utf-8''na%C3%AF; filename*1=\"ve.txt\"", "naïve.txt"),
        ('filename="naïve ☃/x y.txt"', "naïve ☃/x y.txt"),
        ('filename="100%25.txt"', "100%25.txt"),
        ('FileName="a.txt"', "a.txt"),
        ("filename=\"lost.txt\"; filename*=iso-8859-1''na%EFve.txt", "naïve.txt"),
        ("filename=\"a; filename*=utf-8''b\"", "a; filename*=utf-8''b"),
    ],
)
def test_file_names_are_read_in_every_spelling(api: Api, disposition: str, name: str) -> None:
    response = api.request("POST", "/runs", **raw_form(disposition))
    assert response.status_code == 200, response.text
    assert api.attachment(response.json()["run_id"], name) == b"hello"


def test_a_urlencoded_form_is_refused_only_because_it_can_hold_no_workflow(api: Api) -> None:
    message = api.message(api.request("POST", "/runs", data=FORM), 400)
    assert message.startswith("workflow_url:")
    assert "workflow_attachment" in message


def test_the_fields_of_a_urlencoded_form_are_read(api: Api) -> None:
    body = urlencode({**FORM, "workflow_params": "[1]"})
    kind = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    assert api.message(api.request("POST", "/runs", content=body, headers=kind), 400).startswith("workflow_params:")


def test_without_attachments_the_run_has_its_folders_all_the_same(api: Api) -> None:
    run_id = api.submit({"workflow_url": "https://example.org/main.cwl"}, files=[])
    folder = api.folders.folder(run_id)
    assert [path.name for path in folder.root.iterdir()] == ["attachments"]
    api.claim()
    assert sorted(path.name for path in folder.root.iterdir()) == ["attachments", "control", "logs", "work"]


def test_the_folder_of_a_run_belongs_to_foreign_code_and_is_closed_to_others(api: Api) -> None:
    run_id = api.submit(files=[attached("main.cwl"), attached("sub/a.txt")])
    root = api.folders.folder(run_id).root
    owner = 64321 if os.geteuid() == 0 else os.geteuid()
    assert root.stat().st_mode & 0o777 == 0o700
    assert api.folders.root.stat().st_mode & 0o777 == 0o711
    assert {path.stat().st_uid for path in [root, *root.rglob("*")]} == {owner}
    assert api.folders.root.stat().st_uid == os.geteuid()


def test_nothing_is_left_in_the_staging_folder(api: Api) -> None:
    api.submit()
    assert list((api.folders.root / ".staging").iterdir()) == []


def test_an_engine_version_of_any_worker_will_do(api: Api) -> None:
    api.stores.workers.beat(WorkerInfo(id="w2", host="there", engines={"cwltool": ("4.0",)}))
    assert api.submit({"workflow_engine": "cwltool", "workflow_engine_version": "4.0"})
