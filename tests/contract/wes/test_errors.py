"""Every answer that is not 2xx has the one shape (the harness checks it on every response)."""

import pytest

from tests.contract.wes.harness import Api


def fail(*_: object, **__: object) -> None:
    raise ZeroDivisionError("a secret detail")


@pytest.mark.parametrize(
    "path",
    [
        "//nothing",
        "//ga4gh",
        "//ga4gh/wes/v1",
        "//ga4gh/wes/v2/runs",
        "/nothing",
        "/runs/x/nothing",
        "//%ff",
        "/runs/x%0A",
        "/runs/x/tasks/y%0A",
        "/runs/x/tasks/y%0A/logs/stdout",
    ],
)
def test_an_unknown_route_is_a_404(api: Api, path: str) -> None:
    assert api.get(path).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "NONSENSE"])
@pytest.mark.parametrize("path", ["/runs", "/runs/x/status", "/service-info", "//healthz", "//ga4gh/tes/v1/tasks"])
def test_another_method_is_a_405_that_names_the_right_ones(api: Api, method: str, path: str) -> None:
    response = api.request(method, path)
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]


def test_the_methods_of_a_route_are_all_named(api: Api) -> None:
    assert set(api.request("PUT", "/runs").headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert set(api.request("OPTIONS", "/runs").headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize("path", ["/service-info/", "/runs/", "/runs//"])
def test_a_slash_at_the_end_is_passed_over(api: Api, path: str) -> None:
    assert api.get(path).status_code == 200


def test_a_double_slash_within_a_path_is_a_404_and_no_redirect(api: Api) -> None:
    assert api.get("//ga4gh//wes/v1/runs").status_code == 404


@pytest.mark.parametrize(("path", "method"), [("/runs", "page"), ("/runs/x", "get"), ("/service-info", "counts")])
def test_a_fault_is_a_500_that_tells_nothing_of_its_cause(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, method: str
) -> None:
    monkeypatch.setattr(api.stores.runs, method, fail)
    response = api.get(path)
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "Zero" not in response.text


def test_a_fault_after_the_files_came_leaves_no_file(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.stores.runs, "add", fail)
    assert api.post_form().status_code == 500
    assert api.is_untouched()


def test_a_full_disk_is_a_500_that_says_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/some/path")

    monkeypatch.setattr("wes_service.storage.run_folders.AttachmentWriter.write", full)
    message = api.message(api.post_form(), 500)
    assert "disk" in message
    assert "/some/path" not in message
