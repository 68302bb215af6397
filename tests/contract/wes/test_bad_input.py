"""POST /runs: what is refused, with a message that names what is wrong; nothing is left of it."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.wes.harness import FORM, Api, attached, raw_form

TWICE = [attached("main.cwl"), attached("data/a")]


def test_an_empty_post_names_all_that_is_missing(api: Api) -> None:
    message = api.message(api.request("POST", "/runs"), 400)
    assert "workflow_type, workflow_type_version, workflow_url" in message


@pytest.mark.parametrize("field", ["workflow_type", "workflow_type_version", "workflow_url"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_field_is_named(api: Api, field: str, value: str | None) -> None:
    assert api.message(api.post_form({field: value}), 400).startswith(f"{field}:")


@pytest.mark.parametrize("field", ["workflow_params", "tags", "workflow_engine_parameters"])
@pytest.mark.parametrize(
    "text",
    [
        "1",
        "[]",
        "null",
        '"text"',
        "true",
        "{",
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": "\\u0000"}',
        '{"a": "\\ud800"}',
        '{"a": ' * 100_000,
        "\ufeff{}",
    ],
)
def test_a_json_field_that_is_no_object_is_named(api: Api, field: str, text: str) -> None:
    assert api.message(api.post_form({field: text}), 400).startswith(f"{field}:")


@pytest.mark.parametrize("value", ["1", "true", "null", "{}", "[]"])
def test_a_tag_that_is_no_string_is_named(api: Api, value: str) -> None:
    message = api.message(api.post_form({"tags": f'{{"good": "x", "bad": {value}}}'}), 400)
    assert message.startswith("tags:")
    assert "'bad'" in message


def test_more_tags_than_a_run_can_have_are_a_400(api: Api) -> None:
    tags = json.dumps({f"tag{number}": "x" for number in range(1001)})
    assert "tags: there are 1001 tags, and 1000 at most" in api.message(api.post_form({"tags": tags}), 400)


@pytest.mark.parametrize(
    "text",
    [
        '{"nonsense": 1}',
        '{"parallel": "many"}',
        '{"parallel": 1.5}',
        '{"parallel": 0}',
        '{"parallel": [1]}',
        '{"parallel": null}',
        '{"debug": "yes"}',
        '{"share": "nan"}',
        '{"share": -1}',
        '{"cache": "some"}',
    ],
)
def test_an_engine_parameter_that_is_not_on_the_list_or_does_not_fit_is_named(api: Api, text: str) -> None:
    message = api.message(api.post_form({"workflow_engine_parameters": text}), 400)
    assert message.startswith("workflow_engine_parameters:")
    assert text.split('"')[1] in message


@pytest.mark.parametrize(
    ("changes", "field", "hint"),
    [
        ({"workflow_type": "BASH"}, "workflow_type", "CWL, SMK"),
        ({"workflow_type_version": "v9"}, "workflow_type_version", "v1.0, v1.1, v1.2"),
        ({"workflow_engine_version": "3.1.1"}, "workflow_engine_version", "workflow_engine"),
        ({"workflow_engine": "toil"}, "workflow_engine", "cwltool, snakemake"),
        ({"workflow_engine": "snakemake"}, "workflow_engine", "cwltool does"),
        (
            {"workflow_engine": "cwltool", "workflow_engine_version": "2.0"},
            "workflow_engine_version",
            "3.1.1, 3.1.2",
        ),
        (
            {"workflow_type": "SMK", "workflow_type_version": "9"},
            "workflow_type",
            "'wes engines install snakemake'",
        ),
        (
            {"workflow_type": "snakemake", "workflow_type_version": "9", "workflow_engine": "Snakemake"},
            "workflow_engine",
            "'wes engines install snakemake'",
        ),
        ({"workflow_type": "CWL\n"}, "", ""),
        ({"workflow_type": "C\tWL"}, "workflow_type", "control character"),
        ({"workflow_url": "x" * 5000}, "workflow_url", "4096"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(api: Api, changes: dict[str, str], field: str, hint: str) -> None:
    response = api.post_form(changes)
    if not field:
        assert response.status_code == 200
        return
    message = api.message(response, 400)
    assert message.startswith(f"{field}:")
    assert hint in message


def test_an_engine_that_no_worker_had_for_a_day_is_not_installed(api: Api) -> None:
    api.clock.advance(timedelta(hours=25).total_seconds())
    message = api.message(api.post_form(), 400)
    assert message.startswith("workflow_type:")
    assert "'wes engines install cwl'" in message


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@example.org/wf.cwl",
        "http://example.org:99999/wf.cwl",
        "http:///wf.cwl",
        "ftp://example.org/wf.cwl",
        "javascript:alert(1)",
        "trs://example.org/wf/1",
        "drs://example.org/wf/1",
        "s3://bucket/wf.cwl",
        "git+https://example.org/wf.git",
        "git+ssh://example.org/wf.git#wf.cwl",
        "file:///etc/passwd",
        "/etc/passwd",
        "../main.cwl",
        "sub/../../main.cwl",
        "other.cwl",
        "main.cwl/",
        "main",
        "#main",
        "sub",
        ".",
        "main.cwl\0x",
    ],
)
def test_a_workflow_url_that_is_no_attachment_is_refused_at_once(api: Api, url: str) -> None:
    response = api.post_form({"workflow_url": url}, [attached("main.cwl"), attached("sub/a")])
    if url == "main.cwl/":
        assert response.status_code == 200
        return
    assert api.message(response, 400).startswith("workflow_url:")


@pytest.mark.parametrize("url", ["https://user:secret@example.org/wf.cwl?token=secret"])
def test_a_secret_in_a_refused_url_is_not_repeated(api: Api, url: str) -> None:
    message = api.message(api.post_form({"workflow_url": url}), 400)
    assert "secret" not in message
    assert "send the files as attachments" in message


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/abs",
        "a/../../x",
        "a/..",
        "C:\\x",
        "a\\b",
        "a\0b",
        "a\nb",
        "",
        "a/",
        "..",
        ".",
        "n" * 256,
        "é" * 128,
        "a/" * 600 + "b",
    ],
)
def test_an_unsafe_attachment_is_named_and_nothing_is_written(api: Api, name: str) -> None:
    response = api.request("POST", "/runs", **raw_form(f"filename*=utf-8''{quote(name, safe='')}"))
    message = api.message(response, 400)
    assert message.startswith("workflow_attachment:")
    assert repr(name[:20])[1:-1] in message


@pytest.mark.parametrize("spelling", ['"../x"', '"/abs"', '"C:\\x"', '"C:\\\\x"', '"a\\b"', '""', "utf-8''%FF"])
def test_an_unsafe_name_in_a_plain_spelling_is_refused_too(api: Api, spelling: str) -> None:
    star = "*" if "''" in spelling else ""
    message = api.message(api.request("POST", "/runs", **raw_form(f"filename{star}={spelling}")), 400)
    assert message.startswith("workflow_attachment:")


@pytest.mark.parametrize(
    "names",
    [["a", "a/b"], ["a/b", "a"], ["a/b/c", "a/b"], ["a/b", "a/b/c"]],
)
def test_attachments_that_clash_are_named(api: Api, names: list[str]) -> None:
    message = api.message(api.post_form(files=[attached("main.cwl"), *map(attached, names)]), 400)
    assert message.startswith("workflow_attachment:")
    assert repr(names[1].removeprefix("./")) in message


def test_an_attachment_without_a_file_name_is_refused(api: Api) -> None:
    files = [attached("main.cwl"), ("workflow_attachment", (None, b"hello"))]
    assert api.message(api.post_form(files=files), 400).startswith("workflow_attachment:")


def test_an_attachment_in_a_urlencoded_form_is_refused(api: Api) -> None:
    response = api.request("POST", "/runs", data={**FORM, "workflow_attachment": "main.cwl"})
    assert api.message(response, 400).startswith("workflow_attachment:")


@pytest.mark.parametrize("field", ["workflow_type", "workflow_params"])
def test_a_field_that_is_there_twice_is_named(api: Api, field: str) -> None:
    files = [attached("main.cwl"), (field, (None, "{}")), (field, (None, "{}"))]
    assert api.message(api.post_form(files=files), 400).startswith(f"{field}:")


def test_a_field_that_is_no_text_is_named(api: Api) -> None:
    files = [attached("main.cwl"), ("workflow_params", (None, b'{"a": "\xff"}'))]
    assert api.message(api.post_form(files=files), 400).startswith("workflow_params:")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"max_request_bytes": 4000}, "WES_MAX_REQUEST_BYTES"),
        ({"max_attachment_bytes": 3000}, "WES_MAX_ATTACHMENT_BYTES"),
        ({"max_attachments": 1}, "WES_MAX_ATTACHMENTS"),
        ({"max_field_bytes": 10}, "WES_MAX_FIELD_BYTES"),
    ],
)
def test_what_is_over_a_limit_is_a_413_that_names_the_limit(
    api: Api, tmp_path: Path, settings: dict[str, Any], field: str
) -> None:
    limited = api.replica(tmp_path, **settings)
    files = [attached("main.cwl"), attached("data/a", b"x" * 5000)]
    assert field in limited.message(limited.post_form(files=files), 413)


def test_a_body_that_is_larger_than_announced_limits_is_refused_in_pieces_too(api: Api, tmp_path: Path) -> None:
    limited = api.replica(tmp_path, max_request_bytes=4000)
    pieces, kind = (b"--B\r\n" + b"x" * 1000 for _ in range(10)), "multipart/form-data; boundary=B"
    response = limited.request("POST", "/runs", content=pieces, headers={"Content-Type": kind})
    assert "4000" in limited.message(response, 413)


def test_a_urlencoded_form_over_the_limit_is_a_413(api: Api, tmp_path: Path) -> None:
    limited = api.replica(tmp_path, max_field_bytes=50)
    assert "WES_MAX_FIELD_BYTES" in limited.message(limited.request("POST", "/runs", data=FORM), 413)


def test_a_part_whose_head_has_no_end_is_a_413(api: Api) -> None:
    body = b"--B\r\nContent-Disposition: form-data; name=" + b"x" * 300_000
    response = api.request("POST", "/runs", content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})
    assert api.message(response, 413)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/mixed; boundary=B", "nonsense"])
def test_another_media_type_is_a_415_that_names_what_is_taken(api: Api, kind: str) -> None:
    message = api.message(api.request("POST", "/runs", content=b"{}", headers={"Content-Type": kind}), 415)
    assert "multipart/form-data" in message


def test_a_body_without_a_media_type_is_a_415(api: Api) -> None:
    assert "multipart/form-data" in api.message(api.request("POST", "/runs", content=b"workflow_type=CWL"), 415)


def test_a_packed_body_is_a_415(api: Api) -> None:
    assert "Content-Encoding" in api.message(api.post_form(headers={"Content-Encoding": "gzip"}), 415)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--B\r\n\r\n"),
        ("multipart/form-data; boundary=", b"--B\r\n\r\n"),
        ("multipart/form-data; boundary=B", b""),
        ("multipart/form-data; boundary=B", b"no boundary at all"),
        ("multipart/form-data; boundary=B", b"--B\r\nContent-Disposition: form-data; name=tags\r\n\r\n{}"),
        ("multipart/form-data; boundary=B", b"--B\r\nNo-Disposition: x\r\n\r\n{}\r\n--B--"),
        ("multipart/form-data; boundary=B", b"--B\r\nContent-Disposition: \xff\xff; name=tags\r\n\r\n{}\r\n--B--"),
        ("application/x-www-form-urlencoded", b"workflow_type=%ff"),
        ("application/x-www-form-urlencoded", b"workflow_type=\xff"),
    ],
)
def test_a_malformed_form_is_a_400(api: Api, kind: str, body: bytes) -> None:
    assert api.message(api.request("POST", "/runs", content=body, headers={"Content-Type": kind}), 400)


def test_a_form_that_breaks_off_in_an_attachment_leaves_nothing(api: Api) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="workflow_attachment"; filename="a/b"\r\n\r\n' + b"x" * 200_000
    response = api.request("POST", "/runs", content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})
    assert "ends too early" in api.message(response, 400)


def test_parts_without_a_name_are_passed_over(api: Api) -> None:
    body = b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n"
    response = api.request("POST", "/runs", content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})
    assert "workflow_type" in api.message(response, 400)
