"""The OpenAPI documents that this server serves of itself: what it does, under the address that the caller knows."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wes_service.core.links import TES_PATH, WES_PATH

FOLDER = Path(__file__).parents[2] / "openapi"
SERVER = "https://this-server.invalid"
"""Stands for the base URL in the texts, which are made once."""
METHODS = ("get", "post", "put", "patch", "delete")
LINE_LENGTH = 110


@dataclass(frozen=True, kw_only=True)
class Document:
    """One document; `content` has `SERVER` where the base URL belongs."""

    content: Mapping[str, Any]
    base_path: str

    def operations(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Method (in small letters), path template below the base path, and operation."""
        for path, item in self.content["paths"].items():
            yield from ((method, path, item[method]) for method in METHODS if method in item)

    def names(self) -> dict[tuple[str, str], str]:
        """The operationId by method (in capitals) and whole path."""
        return {(m.upper(), self.base_path + path): str(op["operationId"]) for m, path, op in self.operations()}

    def json_text(self) -> str:
        return json.dumps(self.content, ensure_ascii=False, indent=1) + "\n"

    def yaml_text(self) -> str:
        return yaml.dump(self.content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=LINE_LENGTH)


def wes_document() -> Document:
    """`openapi/wes.yaml`."""
    return _document("wes.yaml", WES_PATH)


def tes_document() -> Document:
    """What this server has of TES: the operations of `openapi/tes.yaml` that read, and what they name."""
    whole = _document("tes.yaml", TES_PATH).content
    paths = {path: {"get": _read_operation(item["get"])} for path, item in whole["paths"].items() if "get" in item}
    about = "The tasks of the caller's runs, read-only: the part of the GA4GH Task Execution Service 1.1.0 that reads."
    parts = whole["components"]
    content = {
        **whole,
        "info": {**whole["info"], "title": "WES-TES, the tasks of runs", "description": about},
        "security": [{"BearerAuth": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"BearerAuth": {"type": "http", "scheme": "bearer"}},
            "parameters": parts["parameters"],
            "schemas": {name: parts["schemas"][name] for name in _named_by(paths, parts["schemas"])},
        },
    }
    return Document(content=content, base_path=TES_PATH)


def _read_operation(operation: Mapping[str, Any]) -> dict[str, Any]:
    """One security for all; statuses as text, as JSON knows no other keys."""
    kept = {key: value for key, value in operation.items() if key != "security"}
    open_to_all: dict[str, Any] = {"security": []} if operation["operationId"] == "GetServiceInfo" else {}
    return {**kept, **open_to_all, "responses": {str(key): value for key, value in operation["responses"].items()}}


def _named_by(node: Any, schemas: Mapping[str, Any]) -> list[str]:
    """The schemas that a part of a document refers to, and those that they refer to, by name."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            name = str(item.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in schemas and name not in found:
                found.add(name)
                waiting.append(schemas[name])
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return sorted(found)


def _document(name: str, base_path: str) -> Document:
    # The loader in pure Python, Connexion's own, takes a fifth of a second on each start.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load((FOLDER / name).read_text(), Loader=loader)  # noqa: S506 - both are safe loaders
    return Document(content={**content, "servers": [{"url": SERVER + base_path}]}, base_path=base_path)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and a shared part out each time."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
