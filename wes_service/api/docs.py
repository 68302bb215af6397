"""The API's own documents: the OpenAPI description as YAML and JSON, and the reference page at /docs."""

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask
import yaml

from wes_service.api.connexion_app import caller
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


DOCS_PATH = "/docs"
TITLES = {WES_PATH: "Runs (WES)", TES_PATH: "Tasks (TES)"}
PAGES = {WES_PATH: DOCS_PATH, TES_PATH: f"{DOCS_PATH}/tes"}
STYLE_PATH = f"{DOCS_PATH}/style.css"
FORMATS = {"yaml": "application/yaml", "json": "application/json"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_CODE = re.compile(r"`([^`]+)`")
CODE = r"<code>\1</code>"
PLACES = {"run_id": "$RUN", "task_id": "$TASK", "id": "$TASK", "stream": "stdout", "path": "result.txt"}
"""What stands in an example for a part of the path."""


def paths() -> frozenset[str]:
    """Everything served here; it says the same to everybody, so that it needs no token."""
    files = {f"{base}/openapi.{kind}" for base in TITLES for kind in FORMATS}
    return frozenset({*PAGES.values(), STYLE_PATH, *files})


def blueprint(documents: tuple[Document, ...]) -> flask.Blueprint:
    """The pages and the documents themselves."""
    routes = flask.Blueprint("reference", __name__, template_folder="pages", static_folder=None)
    for document in documents:
        base = document.base_path
        name = base.split("/")[2]
        texts = {"yaml": document.yaml_text(), "json": document.json_text()}
        for kind, text in texts.items():
            view = _text_view(text, FORMATS[kind])
            routes.add_url_rule(f"{base}/openapi.{kind}", f"{name}-{kind}", view)
        routes.add_url_rule(PAGES[base], f"{name}-page", _page_view(Page(document=document)))
    routes.add_url_rule(STYLE_PATH, "style", _style)
    for function in (prose, linked):
        routes.add_app_template_filter(function)
    routes.add_app_template_filter(kind_of, "kind")
    return routes


def _text_view(text: str, media_type: str) -> Any:
    def view() -> flask.Response:
        return flask.Response(text.replace(SERVER, caller().links.base), mimetype=media_type, headers=HEADERS)

    return view


def _page_view(page: "Page") -> Any:
    def view() -> flask.Response:
        # Made anew each time, as it is for people; the address may come from the request, so that it is escaped.
        page_text = flask.render_template(
            "reference.html", page=page, server=caller().links.base, pages=PAGES, titles=TITLES, style=STYLE_PATH
        )
        return flask.Response(page_text, mimetype="text/html", headers=HEADERS)

    return view


def _style() -> flask.Response:
    return flask.Response(flask.render_template("style.css"), mimetype="text/css", headers=HEADERS)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation as the page shows it; `parameters` have their references resolved."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    open: bool
    parameters: tuple[Mapping[str, Any], ...]
    bodies: tuple[tuple[str, str], ...]
    answers: tuple[tuple[str, str, str], ...]
    form: tuple[tuple[str, str], ...]

    def example(self, server: str) -> str:
        """A command for a shell that asks for this operation."""
        words = ["curl"]
        if not self.open:
            words.append('-H "Authorization: Bearer $TOKEN"')
        if self.method == "POST":
            words += [f"-F {_quoted(f'{name}={value}')}" for name, value in self.form] or ["-X POST"]
        path = re.sub(r"\{(\w+)\}", lambda match: PLACES.get(match[1], "$" + match[1].upper()), self.path)
        words.append(f'"{server}{path}"')
        return " \\\n  ".join(words) if len(words) > 3 else " ".join(words)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A document, in the order in which a person reads it."""

    document: Document

    @property
    def info(self) -> Mapping[str, str]:
        info: Mapping[str, str] = self.document.content["info"]
        return info

    @property
    def base_path(self) -> str:
        return self.document.base_path

    def groups(self) -> dict[str, list[Operation]]:
        """Operations by their first tag."""
        found: dict[str, list[Operation]] = {}
        for method, path, raw in self.document.operations():
            tag = (raw.get("tags") or ["Operations"])[0]
            found.setdefault(tag, []).append(self._operation(method, path, raw))
        return found

    def schemas(self) -> dict[str, list[tuple[str, str, bool, str]]]:
        """For each schema its fields: name, type, whether it is always there, description."""
        return {name: list(self._fields(schema)) for name, schema in self._schemas.items()}

    def about(self, name: str) -> str:
        return str(self._schemas[name].get("description", ""))

    @property
    def _schemas(self) -> Mapping[str, Any]:
        schemas: Mapping[str, Any] = self.document.content["components"]["schemas"]
        return schemas

    def _operation(self, method: str, path: str, raw: Mapping[str, Any]) -> Operation:
        content = raw.get("requestBody", {}).get("content", {})
        security = raw.get("security", self.document.content.get("security"))
        return Operation(
            id=str(raw["operationId"]),
            method=method.upper(),
            path=self.base_path + path,
            summary=str(raw.get("summary", "")),
            description=str(raw.get("description", "")),
            open=not security,
            parameters=tuple(self._resolved(item) for item in raw.get("parameters", ())),
            bodies=tuple((kind, kind_of(body.get("schema", {}))) for kind, body in content.items()),
            answers=tuple(self._answer(status, item) for status, item in raw["responses"].items()),
            form=self._form(content.get("multipart/form-data", {}).get("schema", {})),
        )

    def _answer(self, status: str, item: Mapping[str, Any]) -> tuple[str, str, str]:
        answer = self._resolved(item)
        kinds = [kind_of(body.get("schema", {})) for body in answer.get("content", {}).values()]
        return str(status), kinds[0] if kinds else "", str(answer.get("description", ""))

    def _form(self, schema: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        properties = self._resolved(schema).get("properties", {})
        given = {name: str(item["example"]) for name, item in properties.items() if "example" in item}
        # The file that a submission can't be without is the workflow itself.
        file = "@" + given.get("workflow_url", "FILE")
        files = {name: file for name, item in properties.items() if kind_of(item) == "binary[]"}
        return tuple((given | files).items())

    def _fields(self, schema: Mapping[str, Any]) -> Iterator[tuple[str, str, bool, str]]:
        needed = set(schema.get("required", ()))
        for part in schema.get("allOf", ()):
            yield from self._fields(self._resolved(part))
        for name, item in schema.get("properties", {}).items():
            about = str(item.get("description", "") or self._resolved(item).get("description", ""))
            yield name, kind_of(item), name in needed, about

    def _resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node:
            target: Any = self.document.content
            for key in str(node["$ref"]).removeprefix("#/").split("/"):
                target = target[key]
            node = target
        return node


def kind_of(schema: Mapping[str, Any]) -> str:
    """A schema in a word or two: `RunLog`, `string[]`, `map of string`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for several in ("allOf", "anyOf", "oneOf"):
        if several in schema:
            return " or ".join(kind_of(part) for part in schema[several])
    if schema.get("type") == "array":
        return f"{kind_of(schema.get('items', {}))}[]"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"map of {kind_of(schema['additionalProperties'])}"
    return str(schema.get("format") if schema.get("format") == "binary" else schema.get("type", "any"))


def prose(text: str) -> str:
    """A description as HTML, escaped: paragraphs, and `code` between backticks."""
    paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
    return "\n".join(f"<p>{_CODE.sub(CODE, html.escape(part))}</p>" for part in paragraphs)


def linked(kind: str, names: Mapping[str, object]) -> str:
    """A type as HTML, escaped, with a link for each schema that it names."""

    def link(match: re.Match[str]) -> str:
        word = match[0]
        return f'<a href="#schema-{word}">{word}</a>' if word in names else word

    return re.sub(r"\w+", link, html.escape(kind))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'" if re.search(r"[^\w./=@:-]", text) else text
