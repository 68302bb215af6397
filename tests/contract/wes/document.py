"""`openapi/wes.yaml`, with references resolved, and checks of responses against it."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[3]
BASE = "/ga4gh/wes/v1"


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
def _validator(method: str, template: str, status: str) -> Draft202012Validator | None:
    answers = wes_document()["paths"][template][method]["responses"]
    assert status in answers, f"{method} {template} answers {status}, which the document does not know"
    content = answers[status]["content"]
    return Draft202012Validator(content["application/json"]["schema"]) if "application/json" in content else None


@cache
def _template(method: str, path: str) -> str | None:
    for template, operations in wes_document()["paths"].items():
        pattern = re.sub(r"\\\{(\w+)\\\}", lambda m: ".+" if m[1] == "path" else "[^/]+", re.escape(template))
        if method in operations and re.fullmatch(pattern, path):
            return str(template)
    return None


def check(response: httpx.Response) -> None:
    """Fails where a response is not as the document says, or an error has another shape than all errors."""
    method, path = response.request.method.lower(), response.request.url.path.rstrip("/")
    if response.is_error:
        check_error(response)
    template = _template(method, path.removeprefix(BASE)) if path.startswith(BASE) else None
    if template is not None and response.status_code not in (403, 413):
        validator = _validator(method, template, str(response.status_code))
        if validator is not None:
            validator.validate(response.json())


def check_error(response: httpx.Response) -> None:
    if response.request.method == "HEAD":
        return
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    beyond = {"parts"} if response.request.url.path == "/readyz" else set()
    assert set(body) == {"msg", "status_code"} | beyond
    assert body["status_code"] == response.status_code
    assert isinstance(body["msg"], str)
    assert body["msg"]
    assert "Traceback" not in body["msg"]
