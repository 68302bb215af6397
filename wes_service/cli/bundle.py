"""Gathers what one submission uploads: the workflow, the local files it and its params refer to, and what was added."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wes_service.cli.closure import Closure, cwl_closure, source_closure
from wes_service.cli.errors import MissingFile, Unusable
from wes_service.cli.layout import attachment_names
from wes_service.cli.local_files import absolute, files_of, is_within
from wes_service.core.attachment import safe_name
from wes_service.core.json_types import Json, JsonObject
from wes_service.core.location import file_url
from wes_service.core.workflow_url import document_name
from wes_service.languages.documents import read_document
from wes_service.languages.references import Reference, references, secondary_name, with_locations, with_secondary_files
from wes_service.languages.sources import LANGUAGES, language_of

ENTRIES = ("main.nf", "Snakefile", "workflow/Snakefile", "main.cwl", "main.wdl")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """`attachments` maps names to absolute paths; `params` name uploaded files by attachment name. `version` is what
    the workflow document says of its language's version, None where it says nothing."""

    workflow_url: str
    language: str | None
    version: str | None = None
    attachments: Mapping[str, Path] = field(default_factory=dict)
    params: JsonObject = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line was given: `workflow` a path or URL, `in_place` folders that the server may read itself."""

    workflow: str
    params: Path | None = None
    attach: Sequence[Path] = ()
    in_place: Sequence[Path] = ()
    language: str | None = None


def gather(wanted: Wanted) -> Bundle:
    """Reads the documents and finds the files; raises `MissingFile` and `Unusable`."""
    params = _read_params(wanted.params)
    if is_remote(wanted.workflow):
        language = wanted.language or language_of(document_name(wanted.workflow))
        return _assemble(wanted, params, Closure(main=None, language=language), wanted.workflow)
    path, fragment = find_workflow(wanted.workflow)
    language = wanted.language or language_of(path.name) or _language_by_content(path)
    in_place = [absolute(folder) for folder in wanted.in_place]
    closure = cwl_closure(path, in_place, params) if language == "CWL" else source_closure(path, language)
    return _assemble(wanted, params, closure, fragment)


def is_remote(workflow: str) -> bool:
    """Whether it is a URL that the server fetches (http, git, trs, drs, s3)."""
    scheme, colon, _ = workflow.partition("://")
    return bool(colon) and scheme.replace("+", "").isalnum() and scheme != "file"


def find_workflow(text: str) -> tuple[Path, str]:
    """The absolute path of a local workflow, and the `#part` of a packed document (or nothing)."""
    for name, fragment in ((text, ""), (text.rpartition("#")[0], "#" + text.rpartition("#")[2])):
        path = absolute(Path(name)) if name else None
        if path is not None and path.is_dir():
            path = next((path / entry for entry in ENTRIES if (path / entry).is_file()), None)
            if path is None:
                raise Unusable(f"{name} is a folder without {' or '.join(ENTRIES)}: name the workflow's file")
        if path is not None and path.is_file():
            return path, fragment
    raise MissingFile(text, "the command line")


def _language_by_content(path: Path) -> str:
    if path.suffix.lower() in {".yml", ".yaml", ".json"}:
        document = read_document(path)
        if isinstance(document, Mapping) and "cwlVersion" in document:
            return "CWL"
    endings = ", ".join(ending for entry in LANGUAGES.values() for ending in entry.endings)
    raise Unusable(f"the name of {path.name} does not tell its language (known: {endings}): say it with --type")


def _read_params(path: Path | None) -> dict[str, Json]:
    document = read_document(path) if path else None
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise Unusable(f"{path} must hold an object that maps input names to values")
    return dict(document)


def _assemble(wanted: Wanted, params: dict[str, Json], closure: Closure, end: str) -> Bundle:
    in_place = [absolute(folder) for folder in wanted.in_place]
    params = _with_secondary_files(wanted.params, params, closure)
    named = dict(_named_files(wanted.params, params, closure))
    uploaded = [path for path in named.values() if not is_within(path, in_place)]
    data = [file for path in uploaded for file in files_of(path)]
    names = attachment_names(closure.files, data)
    names |= _attached(wanted.attach, names, closure)
    locations = {path: safe_name(_location(path, names)) for path in uploaded}
    locations |= {path: file_url(path) for path in named.values() if path not in locations}
    attachments = {safe_name(name): path for path, name in names.items()}
    return Bundle(
        workflow_url=names[closure.main] + end if closure.main else end,
        language=closure.language,
        version=closure.version,
        attachments=attachments,
        params=_rewritten(params, closure, {target: locations[path] for target, path in named.items()}),
        warnings=(*closure.warnings, *_empty_folders(uploaded)),
    )


def _named_files(params_file: Path | None, params: JsonObject, closure: Closure) -> Iterator[tuple[str, Path]]:
    """The paths as the params write them, each with the absolute path it means."""
    if params_file is None:
        return
    folder = absolute(params_file).parent
    if closure.language == "CWL":
        for reference in references(params):
            if reference.kind in {"file", "directory"}:
                yield reference.target, _existing(folder, reference, params_file)
    else:
        for text in _texts(params):
            path = absolute(folder / text)
            if path.is_file():
                yield text, path


def _existing(folder: Path, reference: Reference, params_file: Path) -> Path:
    path = absolute(folder / reference.target)
    if not path.exists():
        raise MissingFile(path, f"{params_file} at '{reference.place}'")
    if path.is_dir() != (reference.kind == "directory"):
        raise Unusable(f"{path} is not a {reference.kind}, as {params_file} says at '{reference.place}'")
    return path


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        if value and "\0" not in value and len(value) < os.pathconf("/", "PC_PATH_MAX"):
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)


def _with_secondary_files(params_file: Path | None, params: dict[str, Json], closure: Closure) -> dict[str, Json]:
    """The params in which files that an input wants by a pattern, and that lie beside its file, are named."""
    if params_file is None:
        return params
    folder = absolute(params_file).parent

    def beside(target: str, pattern: str) -> Json:
        path = absolute(folder / target)
        sibling = path.with_name(secondary_name(path.name, pattern))
        if not sibling.exists():
            return None
        return {"class": "Directory" if sibling.is_dir() else "File", "path": str(sibling)}

    wanted = {name: patterns for name, patterns in closure.patterns.items() if patterns and name in params}
    return params | {name: with_secondary_files(params[name], wanted[name], beside) for name in wanted}


def _attached(paths: Sequence[Path], names: Mapping[Path, str], closure: Closure) -> dict[Path, str]:
    """Names of what `--attach` added: its place beside the workflow, else its own name at the top."""
    root = closure.root
    added: dict[Path, str] = {}
    for given in paths:
        path = absolute(given)
        if not path.exists():
            raise MissingFile(given, "--attach")
        base = root if root and path.is_relative_to(root) else path.parent
        added |= {file: file.relative_to(base).as_posix() for file in files_of(path) if file not in names}
    taken = set(names.values())
    clash = next((name for name in added.values() if name in taken), None)
    if clash:
        raise Unusable(f"--attach: another file is called {clash!r} already")
    return added


def _location(path: Path, names: Mapping[Path, str]) -> str:
    """The attachment name of a file, or of a folder by the files in it."""
    if path in names:
        return names[path]
    file = next(files_of(path), None)
    if file is None:
        return path.name
    return names[file].removesuffix(file.relative_to(path).as_posix()).rstrip("/")


def _rewritten(params: JsonObject, closure: Closure, locations: Mapping[str, str]) -> JsonObject:
    copy = with_locations(params, locations.get) if closure.language == "CWL" else _with_texts(params, locations)
    return copy if isinstance(copy, Mapping) else {}


def _with_texts(value: Json, texts: Mapping[str, str]) -> Json:
    if isinstance(value, str):
        return texts.get(value, value)
    if isinstance(value, Mapping):
        return {key: _with_texts(item, texts) for key, item in value.items()}
    return [_with_texts(item, texts) for item in value] if isinstance(value, Sequence) else value


def _empty_folders(paths: Iterable[Path]) -> list[str]:
    empty = (path for path in paths if path.is_dir() and next(files_of(path), None) is None)
    return [f"{path} holds no file, and an empty folder can't be uploaded" for path in empty]
