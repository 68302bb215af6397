"""`openapi/wes.yaml`, with references resolved, and checks of responses against it."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml
from jsonschema import Draft202012Validator

from wes_service.api.docs import tes_document as tes_view_document

ROOT = Path(__file__).parents[3]
BASE = "/ga4gh/wes/v1"
TES_BASE = "/ga4gh/tes/v1"


def load(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text())
    assert isinstance(document, dict)
    return document


def resolved(node: Any, document: Mapping[str, Any], foreign: Mapping[str, Any] | None = None) -> Any:
    """The node without `$ref`; a reference to another file is looked up in `foreign`."""
    if isinstance(node, list):
        return [resolved(item, document, foreign) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        file, _, pointer = node["$ref"].partition("#/")
        source = foreign if file and foreign is not None else document
        target: Any = source
        for key in pointer.split("/"):
            target = target[key]
        return resolved(target, source, foreign)
    return {key: resolved(value, document, foreign) for key, value in node.items()}


@cache
def wes_document() -> dict[str, Any]:
    document = load(ROOT / "openapi" / "wes.yaml")
    whole = resolved(document, document)
    assert isinstance(whole, dict)
    return whole


@cache
def tes_document() -> dict[str, Any]:
    """Of the read-only TES, as the server serves it."""
    document = tes_view_document().content
    whole = resolved(document, document)
    assert isinstance(whole, dict)
    return whole


@cache
def _answers(base: str, method: str, template: str) -> dict[str, Any]:
    document = wes_document() if base == BASE else tes_document()
    answers = document["paths"][template]["get" if method == "head" else method]["responses"]
    assert isinstance(answers, dict)
    return answers


@cache
def _validator(base: str, method: str, template: str, status: str, media_type: str) -> Draft202012Validator | None:
    """Of a JSON answer's body; fails where the document knows no such status or media type."""
    answers = _answers(base, method, template)
    assert status in answers, f"{method} {template} answers {status}, which the document does not know"
    content = answers[status].get("content", {})
    assert not content or media_type in content or "*/*" in content, f"{method} {template} answers {media_type}"
    is_json = media_type == "application/json" and media_type in content
    return Draft202012Validator(content[media_type]["schema"]) if is_json else None


@cache
def _template(base: str, method: str, path: str) -> str | None:
    document = wes_document() if base == BASE else tes_document()
    for template, operations in document["paths"].items():
        pattern = re.sub(r"\\\{(\w+)\\\}", lambda m: ".+" if m[1] == "path" else "[^/]+", re.escape(template))
        if ("get" if method == "head" else method) in operations and re.fullmatch(pattern, path):
            return str(template)
    return None


def check(response: httpx.Response) -> None:
    """Fails where a response is not as the document says, or an error has another shape than all errors."""
    method, path = response.request.method.lower(), response.request.url.path.rstrip("/")
    if response.is_error:
        check_error(response)
    for base in (BASE, TES_BASE):
        template = _template(base, method, path.removeprefix(base)) if path.startswith(base) else None
        if template is not None and (base == BASE or _is_told_by_tes(response)):
            _check_body(response, base, method, template)


def _is_told_by_tes(response: httpx.Response) -> bool:
    """TES names no errors, and its schema of a task does not fit its own MINIMAL view."""
    view = response.request.url.params.get("view") or "MINIMAL"
    whole = view != "MINIMAL" or response.request.url.path.endswith("/service-info")
    return whole and not response.is_error


def _check_body(response: httpx.Response, base: str, method: str, template: str) -> None:
    media_type = response.headers.get("content-type", "").partition(";")[0]
    validator = _validator(base, method, template, str(response.status_code), media_type)
    if method == "head":
        assert response.content == b""
    elif validator is not None:
        validator.validate(response.json())


def check_error(response: httpx.Response) -> None:
    if response.request.method == "HEAD":
        return
    assert response.headers.get("content-type", "") == "application/json"
    body = response.json()
    beyond = {"parts"} if response.request.url.path == "/readyz" else set()
    assert set(body) == {"msg", "status_code"} | beyond
    assert body["status_code"] == response.status_code
    assert isinstance(body["msg"], str)
    assert body["msg"]
    assert "Traceback" not in body["msg"]
