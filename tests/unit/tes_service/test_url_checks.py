"""Which URLs POST /tasks takes: a task chooses bucket and key, never the server or the credentials for it."""

from typing import Any

import pytest

from common.errors import InvalidField
from common.object_store import ObjectStores, StoreSettings
from tes_service.folder_access import AllowedFolders
from tes_service.task_request import task_request
from tes_service.url_checks import UrlChecks

HOSPITAL = StoreSettings(endpoint="http://127.0.0.1:9000", anonymous=True)
ONE_BUCKET = ObjectStores({"s3://hospital": HOSPITAL, "gs://shared/public": HOSPITAL})
ALL_OF_S3 = ObjectStores({"s3": HOSPITAL})


def problem(stores: ObjectStores, *, inputs: list[dict[str, Any]] = [], outputs: list[dict[str, Any]] = []) -> str:  # noqa: B006
    """What POST /tasks would say, empty where it takes the task."""
    executors = [{"image": "i", "command": ["c"]}]
    try:
        request = task_request({"executors": executors, "inputs": inputs, "outputs": outputs})
        UrlChecks(access=AllowedFolders().of({}), stores=stores).check(request)
    except InvalidField as error:
        return str(error)
    return ""


def of_input(url: str, type_: str = "FILE", stores: ObjectStores = ONE_BUCKET) -> str:
    return problem(stores, inputs=[{"path": "/in/x", "url": url, "type": type_}])


def of_output(url: str, type_: str = "FILE", **more: str) -> str:
    return problem(ONE_BUCKET, outputs=[{"path": "/out/x", "url": url, "type": type_, **more}])


@pytest.mark.parametrize(
    "url",
    [
        "s3://hospital/key",
        "s3://hospital/deep/er key#1%20?*[a]{b}~",
        "s3://hospital/KEY",
        "S3://hospital/key",
        "gs://shared/public/key",
        "http://example.org/x?sig=1",
        "ftp://example.org/x",
    ],
)
def test_what_this_server_reaches_is_taken(url: str) -> None:
    assert of_input(url) == ""


def test_folders_of_object_stores_are_taken() -> None:
    assert of_input("s3://hospital/folder", "DIRECTORY") == ""
    assert of_input("s3://hospital/folder/", "DIRECTORY") == ""
    assert of_input("s3://hospital", "DIRECTORY") == ""
    assert of_output("s3://hospital/folder", "DIRECTORY") == ""


@pytest.mark.parametrize(
    "url",
    [
        "s3://hospital2/key",
        "s3://hospita/key",
        "s3://HOSPITAL/key",
        "s3://other/hospital/key",
        "gs://hospital/key",
        "gs://shared/publicity/key",
        "gs://shared/key",
        "az://hospital/key",
    ],
)
def test_a_bucket_that_is_not_configured_is_refused_with_what_to_do(url: str) -> None:
    said = of_input(url)
    assert said.startswith("inputs[0].url: no object store is configured here for ")
    assert "[stores." in said
    assert "--config" in said


@pytest.mark.parametrize(
    "url",
    [
        "s3://hospital/a/../b",
        "s3://hospital/..",
        "s3://hospital/./b",
        "s3://hospital/a//b",
        "s3://hospital//a",
        "s3://hospital/a\x01b",
        "s3://hospital@evil.example/key",
        "s3://key:secret@hospital/key",
        "s3://hospital.evil.example:80/key",
        "s3://hospital?endpoint=http://evil.example/key",
        "s3://hospital#/key",
        "s3://%68ospital/key",
        "s3://-hospital/key",
        "s3:///key",
        "s3:hospital/key",
    ],
)
@pytest.mark.parametrize("stores", [ONE_BUCKET, ALL_OF_S3], ids=["one", "all"])
def test_what_is_no_plain_bucket_and_key_is_refused(url: str, stores: ObjectStores) -> None:
    assert of_input(url, stores=stores).startswith("inputs[0].url: ")


def test_an_encoded_name_is_another_name() -> None:
    assert of_input("s3://hospital/a%2F..%2Fb") == "", "a literal key, with percent signs in it"


def test_a_file_needs_a_key_and_a_folder_a_store_that_can_list() -> None:
    assert "the type is FILE" in of_input("s3://hospital")
    assert "the type is FILE" in of_input("s3://hospital/")
    assert "the type is FILE" in of_input("s3://hospital/folder/")
    assert of_input("http://example.org/x", "DIRECTORY") == "inputs[0].type: a DIRECTORY can't be fetched over http"
    assert of_input("ftp://example.org/x", "DIRECTORY") == "inputs[0].type: a DIRECTORY can't be fetched over ftp"
    assert "not supported: drs" in of_input("drs://example.org/x")


def test_outputs_go_to_stores_and_to_the_web() -> None:
    assert of_output("s3://hospital/x") == of_output("https://example.org/x?sig=1") == ""
    assert of_output("https://example.org/x", "DIRECTORY") == ""
    assert of_output("ftp://example.org/x") == "outputs[0].url: this storage is not supported: ftp"
    assert of_output("s3://other/x").startswith("outputs[0].url: no object store is configured here")


def test_one_signed_url_is_not_for_several_files() -> None:
    assert "outputs[0].url: has a query" in of_output("https://example.org/x?sig=1", "DIRECTORY")
    wildcard = [{"path": "/out/*", "path_prefix": "/out", "url": "https://example.org/x?sig=1"}]
    assert "outputs[0].url: has a query" in problem(ONE_BUCKET, outputs=wildcard)
