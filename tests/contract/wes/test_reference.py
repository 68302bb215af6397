"""The documents and the reference that the server serves of itself."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.contract.wes.document import ROOT, load
from tests.contract.wes.harness import ORIGIN, Api, make_api

WES, TES = "/ga4gh/wes/v1", "/ga4gh/tes/v1"
ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "reference.js")


class Reader(HTMLParser):
    """Collects what a page names, and wants each element to be closed."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.documents: list[str] = []
        self.scripts = ""
        self.tags: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert not any(name.startswith("on") or name == "style" for name in given), given
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.documents += [given["data-document"]] if "data-document" in given else []
        self.links += [given[name] for name in ("href", "src") if name in given]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.scripts += data

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def served(api: Api, base: str) -> dict[str, Any]:
    document: dict[str, Any] = api.json(f"/{base}/openapi.json")
    return document


def test_the_served_document_is_the_projects_own_with_this_servers_address(api: Api) -> None:
    ours = load(ROOT / "openapi" / "wes.yaml")
    assert served(api, WES) == {**ours, "servers": [{"url": ORIGIN + WES}]}


def test_behind_a_proxy_the_address_is_the_public_one(tmp_path: Path) -> None:
    api = make_api(tmp_path, public_url="https://wes.example.org/prefix")
    assert served(api, WES)["servers"] == [{"url": "https://wes.example.org/prefix/ga4gh/wes/v1"}]
    assert "https://wes.example.org/prefix/docs/swagger-ui.css" in Reader(api.get("//docs").text).links


@pytest.mark.parametrize("base", [WES, TES])
def test_yaml_and_json_say_the_same(api: Api, base: str) -> None:
    response = api.get(f"/{base}/openapi.yaml")
    assert response.headers["content-type"].startswith("application/yaml")
    assert yaml.safe_load(response.text) == served(api, base)


def test_the_document_of_tasks_has_what_reads_and_no_more(api: Api) -> None:
    document = served(api, TES)
    assert {(path, method) for path, item in document["paths"].items() for method in item} == {
        ("/service-info", "get"),
        ("/tasks", "get"),
        ("/tasks/{id}", "get"),
    }
    assert "tesCreateTaskResponse" not in document["components"]["schemas"]
    names = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert names <= set(document["components"]["schemas"])
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("page", "base"), [("//docs", WES), ("//docs/tes", TES)])
def test_the_page_shows_its_document_and_all_that_it_loads_is_this_servers(api: Api, page: str, base: str) -> None:
    found = Reader(api.get(page).text)
    assert found.documents == [f"{ORIGIN}{base}/openapi.json"]
    for link in {*found.links, *found.documents}:
        assert link.startswith(f"{ORIGIN}/"), "a page that needs nothing from elsewhere"
        assert api.get("/" + link.removeprefix(ORIGIN)).status_code == 200
    assert "SwaggerUIBundle" in api.get("//docs/swagger-ui-bundle.js").text


@pytest.mark.parametrize("page", ["//docs", "//docs/tes", *(f"//docs/{name}" for name in ASSETS)])
def test_pages_load_nothing_from_elsewhere_and_have_no_script_or_style_within(api: Api, page: str) -> None:
    response = api.get(page)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    if page in {"//docs", "//docs/tes"}:
        found = Reader(response.text)
        assert not found.tags & {"style", "img", "iframe", "form"}
        assert found.scripts == ""


def test_a_page_can_not_be_written_into_by_the_one_who_asks(tmp_path: Path) -> None:
    api = make_api(tmp_path, token="t", public_url='https://x/"><script>')
    text = api.get("//docs").text
    assert "<script>" not in text
    assert Reader(text).scripts == ""
