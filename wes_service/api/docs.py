"""The API's own documents: the OpenAPI description as YAML and JSON, and their reference at /docs by Swagger UI.

Swagger UI comes from the package `swagger-ui-bundle-v2`, whose files are those of npm's `swagger-ui-dist`; the pages
load it from this server, and nothing from elsewhere.
"""

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from swagger_ui_bundle import swagger_ui_path

from wes_service.api.middleware import caller_of
from wes_service.core.links import TES_PATH, WES_PATH

OPENAPI_FOLDER = Path(__file__).parents[2] / "openapi"
SERVER_PLACEHOLDER = "https://this-server.invalid"
"""Stands for the base URL in the texts, which are made once."""
YAML_LINE_LENGTH = 110
DOCS_PATH = "/docs"
DOCS_PAGES = {WES_PATH: DOCS_PATH, TES_PATH: f"{DOCS_PATH}/tes"}
DOCS_TEMPLATE = (Path(__file__).parent / "pages/reference.html").read_text()
DOCS_ASSETS = {
    "swagger-ui.css": Path(swagger_ui_path) / "swagger-ui.css",
    "swagger-ui-bundle.js": Path(swagger_ui_path) / "swagger-ui-bundle.js",
    "reference.js": Path(__file__).parent / "pages/reference.js",
}
"""By name below `DOCS_PATH`."""
DOCUMENT_TYPES = {"yaml": "application/yaml", "json": "application/json"}
DOCS_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, kw_only=True)
class ApiDocument:
    """One OpenAPI document; `content` has `SERVER_PLACEHOLDER` where the base URL belongs."""

    content: Mapping[str, Any]
    base_path: str

    @property
    def title(self) -> str:
        """The document's own title."""
        return str(self.content["info"]["title"])

    def text(self, kind: str) -> str:
        """As `yaml` or `json`."""
        if kind == "json":
            return json.dumps(self.content, ensure_ascii=False, indent=1) + "\n"
        return yaml.dump(self.content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=YAML_LINE_LENGTH)


def wes_document() -> ApiDocument:
    """`openapi/wes.yaml`."""
    return _document("wes.yaml", WES_PATH)


def tes_document() -> ApiDocument:
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
    return ApiDocument(content=content, base_path=TES_PATH)


def _read_operation(operation: Mapping[str, Any]) -> dict[str, Any]:
    """One security for all; statuses as text, as JSON knows no other keys."""
    kept = {key: value for key, value in operation.items() if key != "security"}
    open_to_all: dict[str, Any] = {"security": []} if operation["operationId"] == "GetServiceInfo" else {}
    return {**kept, **open_to_all, "responses": {str(key): value for key, value in operation["responses"].items()}}


def _named_by(node: Any, schemas: Mapping[str, Any]) -> list[str]:
    """The schemas that a part of a document refers to, and those that they refer to, by name."""
    names: set[str] = set()
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            name = str(item.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in schemas and name not in names:
                names.add(name)
                waiting.append(schemas[name])
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return sorted(names)


def _document(name: str, base_path: str) -> ApiDocument:
    # The loader in pure Python, Connexion's own, takes a fifth of a second on each start.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load((OPENAPI_FOLDER / name).read_text(), Loader=loader)  # noqa: S506 - both are safe loaders
    return ApiDocument(content={**content, "servers": [{"url": SERVER_PLACEHOLDER + base_path}]}, base_path=base_path)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and a shared part out each time."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def docs_paths() -> frozenset[str]:
    """Everything served here; it says the same to everybody, so that it needs no token."""
    documents = {f"{base}/openapi.{kind}" for base in DOCS_PAGES for kind in DOCUMENT_TYPES}
    return frozenset({*DOCS_PAGES.values(), *(f"{DOCS_PATH}/{name}" for name in DOCS_ASSETS), *documents})


def docs_routes(documents: tuple[ApiDocument, ...]) -> list[Route]:
    """The documents themselves, a page for each, and what the pages load."""
    routes = [Route(f"{DOCS_PATH}/{name}", _file_endpoint(path)) for name, path in DOCS_ASSETS.items()]
    for document in documents:
        routes += [
            Route(f"{document.base_path}/openapi.{kind}", _text_endpoint(partial(document.text, kind), media_type))
            for kind, media_type in DOCUMENT_TYPES.items()
        ]
        routes.append(
            Route(DOCS_PAGES[document.base_path], _text_endpoint(partial(_page, document), "text/html", escaped=True))
        )
    return routes


def _page(document: ApiDocument) -> str:
    url = f"{SERVER_PLACEHOLDER}{document.base_path}/openapi.json"
    page = DOCS_TEMPLATE.replace("{title}", html.escape(document.title)).replace("{document}", url)
    return page.replace("{docs}", SERVER_PLACEHOLDER + DOCS_PATH)


def _text_endpoint(text: Callable[[], str], media_type: str, *, escaped: bool = False) -> Any:
    # Made where somebody asks: to write YAML takes as long as a fifth of a start.
    made = cache(text)

    def view(request: Request) -> Response:
        base = caller_of(request.scope).links.base
        # The base URL may come from the request.
        body = made().replace(SERVER_PLACEHOLDER, html.escape(base) if escaped else base)
        return Response(body, media_type=media_type, headers=DOCS_HEADERS)

    return view


def _file_endpoint(path: Path) -> Any:
    async def view(_request: Request) -> Response:
        return FileResponse(path, headers=DOCS_HEADERS)

    return view
