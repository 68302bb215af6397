"""What a document of each workflow language refers to."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal
from urllib.parse import unquote, urlsplit

from common.json_types import Json, JsonObject

Kind = Literal["document", "text", "file", "directory"]
Steps = tuple[str | int, ...]
MOST_NESTED = 16
SECTIONS = {"$import": "document", "$mixin": "document", "$include": "text"}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A file that a document names.

    `target` is a path, absolute or relative to the document. `kind` says how to go on: a `document` may refer to more
    files, `text` is included as it is. `at` is where it stands, keys and indices from the top.
    """

    kind: Kind
    target: str
    at: Steps
    optional: bool = False

    @property
    def place(self) -> str:
        """`at` as a text, with dots."""
        return ".".join(str(step) for step in self.at)


def references(document: Json) -> Iterator[Reference]:
    """Every local file that a parsed CWL document (or params document) refers to, in its order."""
    yield from _walk(document, ())


def _walk(value: Json, at: Steps) -> Iterator[Reference]:
    if isinstance(value, Mapping):
        yield from _own(value, at)
        for key, item in value.items():
            yield from _walk(item, (*at, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _walk(item, (*at, index))


def _own(value: JsonObject, at: Steps) -> Iterator[Reference]:
    """What this object itself refers to, not what is in it."""
    kind = file_kind(value)
    if kind is not None:
        target = file_target(value)
        if target is not None:
            yield Reference(kind=kind, target=target, at=at)
        return
    for key, section in SECTIONS.items():
        yield from _document(value.get(key), (*at, key), "text" if section == "text" else "document")
    if "run" in value and ("in" in value or "out" in value):
        yield from _document(value["run"], (*at, "run"), "document")
    for index, schema in enumerate(_sequence(value.get("$schemas"))):
        for found in _document(schema, (*at, "$schemas", index), "text"):
            yield Reference(kind="text", target=found.target, at=found.at, optional=True)


def _document(value: Json, at: Steps, kind: Kind) -> Iterator[Reference]:
    target = local_path(value.partition("#")[0]) if isinstance(value, str) else None
    if target:
        yield Reference(kind=kind, target=target, at=at)


def file_kind(value: Json) -> Literal["file", "directory"] | None:
    """What a CWL File or Directory object is, None for any other value."""
    if isinstance(value, Mapping) and value.get("class") in {"File", "Directory"}:
        return "file" if value["class"] == "File" else "directory"
    return None


def file_target(value: JsonObject) -> str | None:
    """The local path that a File or Directory object names; None where it names none (a literal, a remote URL)."""
    location, path = value.get("location"), value.get("path")
    if isinstance(location, str):
        return local_path(location.partition("#")[0])
    return path if isinstance(path, str) and path and not _is_expression(path) else None


def local_path(uri: str) -> str | None:
    """The path that a CWL reference (a relative URI, an absolute path or a `file://` URL) names; None for others."""
    if not uri or _is_expression(uri) or uri.startswith("_:"):
        return None
    if uri.startswith("file:"):
        return unquote(urlsplit(uri).path) or None
    return None if "://" in uri else unquote(uri)


def _is_expression(text: str) -> bool:
    return "$(" in text or "${" in text


def is_default(reference: Reference) -> bool:
    """Whether it stands in the default of an input, which params or a step may override."""
    return "default" in reference.at


def default_of(document: Json, reference: Reference) -> str | None:
    """The name of the workflow's own input whose default holds this reference; None where it stands elsewhere."""
    match reference.at:
        case ("inputs", str() as name, "default", *_):
            return name
        case ("inputs", int() as index, "default", *_) if isinstance(document, Mapping):
            entry = _sequence(document.get("inputs"))[index]
            identifier = entry.get("id") if isinstance(entry, Mapping) else None
            return identifier.lstrip("#") if isinstance(identifier, str) else None
        case _:
            return None


def with_locations(value: Json, locate: Callable[[str], str | None]) -> Json:
    """A copy in which every local File and Directory has the location that `locate` gives for its path."""
    if isinstance(value, Mapping):
        copy: dict[str, Json] = {key: with_locations(item, locate) for key, item in value.items()}
        target = file_target(value) if file_kind(value) else None
        location = locate(target) if target is not None else None
        if location is not None:
            copy.pop("path", None)
            copy["location"] = location
        return copy
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [with_locations(item, locate) for item in value]
    return value


@dataclass(frozen=True, kw_only=True)
class SecondaryFiles:
    """The file name patterns of an input's `secondaryFiles` (expressions left out), and those of a record's fields."""

    patterns: tuple[str, ...] = ()
    fields: "Mapping[str, SecondaryFiles]" = field(default_factory=dict)


def with_secondary_files(value: Json, secondary: SecondaryFiles, beside: Callable[[str, str], Json]) -> Json:
    """A copy in which each local File without `secondaryFiles` has those that `beside` finds for its patterns.

    Named outright they need not be searched for by the engine: cwltool does not find one with a `#` or `%` in its name.
    """
    if isinstance(value, Mapping):
        if file_kind(value):
            return _with_own(value, secondary.patterns, beside)
        changed = {
            name: with_secondary_files(value[name], secondary.fields[name], beside)
            for name in secondary.fields
            if name in value
        }
        return {**value, **changed}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [with_secondary_files(item, secondary, beside) for item in value]
    return value


def _with_own(value: JsonObject, patterns: Sequence[str], beside: Callable[[str, str], Json]) -> Json:
    target = file_target(value) if value.get("class") == "File" and "secondaryFiles" not in value else None
    found = [beside(target, pattern) for pattern in patterns] if target is not None else []
    there = [each for each in found if each is not None]
    return {**value, "secondaryFiles": there} if there else value


def secondary_patterns(document: Json, imported: Sequence[Json] = ()) -> dict[str, SecondaryFiles]:
    """What each input of a document wants; `imported` are documents that may define its record types."""
    types = {name: record for source in (document, *imported) for name, record in _named_types(source)}
    return {name: _wanted(entry, types, MOST_NESTED) for name, entry in inputs_of(document).items()}


def inputs_of(document: Json) -> dict[str, Json]:
    """The inputs of a process by their names, as the document has them."""
    inputs = document.get("inputs") if isinstance(document, Mapping) else None
    return _by_name(inputs, "id")


def _by_name(entries: Json, key: str) -> dict[str, Json]:
    """A list of objects, or a map of them, as CWL allows both for most."""
    if isinstance(entries, Mapping):
        return {str(name): entry for name, entry in entries.items()}
    listed = [entry for entry in _sequence(entries) if isinstance(entry, Mapping)]
    return {_last(entry.get(key)): entry for entry in listed}


def _last(identifier: Json) -> str:
    return re.split(r"[#/]", str(identifier or ""))[-1]


def _named_types(document: Json) -> Iterator[tuple[str, Json]]:
    """Types that a document defines: in its SchemaDefRequirement, or as the document that such a one imports."""
    for each in document if isinstance(document, list) else [document]:
        if isinstance(each, Mapping):
            if "name" in each:
                yield _last(each["name"]), each
            for requirement in _by_name(each.get("requirements"), "class").values():
                types = requirement.get("types") if isinstance(requirement, Mapping) else None
                yield from (
                    (_last(one["name"]), one) for one in _sequence(types) if isinstance(one, Mapping) and "name" in one
                )


def _wanted(entry: Json, types: Mapping[str, Json], depth: int) -> SecondaryFiles:
    whole: JsonObject = entry if isinstance(entry, Mapping) else {"type": entry}
    records = _records(whole.get("type"), types, depth)
    fields = {name: inner for record in records for name, inner in _by_name(record.get("fields"), "name").items()}
    return SecondaryFiles(
        patterns=_patterns(whole), fields={name: _wanted(inner, types, depth - 1) for name, inner in fields.items()}
    )


def _records(kind: Json, types: Mapping[str, Json], depth: int) -> list[JsonObject]:
    """The record types that a type leads to: itself, items of arrays, one of several, or by name."""
    if depth <= 0:
        return []
    if isinstance(kind, str):
        named = types.get(_last(kind.removesuffix("?").removesuffix("[]")))
        return _records(named, types, depth - 1)
    if isinstance(kind, Mapping):
        if kind.get("type") == "record":
            return [kind]
        return _records(kind.get("items", kind.get("type")), types, depth - 1)
    return [record for each in _sequence(kind) for record in _records(each, types, depth - 1)]


def _patterns(entry: JsonObject) -> tuple[str, ...]:
    inner = entry.get("type")
    found = entry.get("secondaryFiles", inner.get("secondaryFiles") if isinstance(inner, Mapping) else None)
    listed = _sequence(found) or [found]
    texts = [item.get("pattern") if isinstance(item, Mapping) else item for item in listed]
    return tuple(text.rstrip("?") for text in texts if isinstance(text, str) and not _is_expression(text))


def secondary_name(name: str, pattern: str) -> str:
    """The file name that a pattern makes of `name`: each leading `^` takes one extension away (CWL v1.2, 5.3.1)."""
    while pattern.startswith("^"):
        pattern = pattern[1:]
        stem, dot, _ = name.rpartition(".")
        name = stem if dot and stem else name
    return name + pattern


def _sequence(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def missing_inputs(inputs: Mapping[str, Json], params: JsonObject) -> list[str]:
    """The inputs that have to be given and are not, each as `name (type)`."""
    return [_shown(name, entry) for name, entry in inputs.items() if params.get(name) is None and _is_needed(entry)]


def unknown_inputs(inputs: Mapping[str, Json], params: JsonObject) -> dict[str, str]:
    """What is given and is no input, with the name that may have been meant, or nothing; `cwl:…` and `$…` are fine."""
    lowered = {name.casefold(): name for name in inputs}
    unknown = [name for name in params if name not in inputs and ":" not in name and not name.startswith("$")]
    return {name: _near(name, lowered) for name in unknown if name not in {"id", "cwlVersion"}}


def _near(name: str, lowered: Mapping[str, str]) -> str:
    found = get_close_matches(name.casefold(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else ""


def _is_needed(entry: Json) -> bool:
    if isinstance(entry, Mapping):
        return "type" in entry and "default" not in entry and not _may_be_null(entry["type"])
    return not _may_be_null(entry)


def _may_be_null(kind: Json) -> bool:
    if isinstance(kind, str):
        return kind == "null" or kind.endswith("?")
    return isinstance(kind, Sequence) and any(_may_be_null(each) for each in kind)


def _shown(name: str, entry: Json) -> str:
    kind = entry.get("type") if isinstance(entry, Mapping) else entry
    if isinstance(kind, Mapping):
        kind = f"{kind['items']}[]" if isinstance(kind.get("items"), str) else kind.get("type")
    return f"{name} ({kind})" if isinstance(kind, str) else name
