"""The Idempotency-Key header of POST /runs."""

import pytest

from tests.contract.wes.harness import Api, attached

KEY = {"Idempotency-Key": "order-1"}


def run_id(api: Api, **options: object) -> str:
    response = api.post_form(**{"headers": KEY, **options})  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    return str(response.json()["run_id"])


def test_the_same_key_and_request_give_the_same_run_and_leave_one_folder(api: Api) -> None:
    first = run_id(api)
    assert run_id(api) == first
    assert len(api.json("/runs")["runs"]) == 1
    assert {path.split("/")[0] for path in api.stored_files()} == {".staging", first} - {".staging"}


def test_the_order_of_attachments_does_not_matter(api: Api) -> None:
    files = [attached("main.cwl"), attached("a"), attached("b")]
    assert run_id(api, files=files) == run_id(api, files=files[::-1])


@pytest.mark.parametrize(
    "change",
    [
        {"changes": {"tags": '{"a": "b"}'}},
        {"changes": {"workflow_type": "cwl"}},
        {"files": [attached("main.cwl", b"other")]},
        {"files": [attached("main.cwl"), attached("more")]},
    ],
)
def test_the_same_key_with_another_request_is_a_409_and_leaves_nothing(api: Api, change: dict[str, object]) -> None:
    first = run_id(api)
    before = api.stored_files()
    response = api.post_form(**{"headers": KEY, **change})  # type: ignore[arg-type]
    assert response.status_code == 409
    assert "Idempotency-Key" in response.json()["msg"]
    assert api.stored_files() == before
    assert [run["run_id"] for run in api.json("/runs")["runs"]] == [first]


def test_another_key_starts_another_run(api: Api) -> None:
    assert run_id(api) != run_id(api, headers={"Idempotency-Key": "order-2"})


def test_without_a_key_the_same_request_starts_another_run(api: Api) -> None:
    assert api.submit() != api.submit()


@pytest.mark.parametrize("key", ["", "k" * 256, "ümlaut".encode("latin-1")])
def test_a_key_that_is_empty_too_long_or_not_ascii_is_a_400(api: Api, key: str | bytes) -> None:
    message = api.message(api.post_form(headers={"Idempotency-Key": key}), 400)
    assert message.startswith("Idempotency-Key:")
