"""The workflow document and every local file that it needs, found by following its references."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wes_service.cli.errors import MissingFile, Unusable
from wes_service.cli.layout import common_folder
from wes_service.cli.local_files import absolute, files_of, is_within
from wes_service.core.json_types import Json, JsonObject
from wes_service.languages.documents import read_document
from wes_service.languages.references import (
    Reference,
    default_of,
    is_default,
    references,
    secondary_name,
    secondary_patterns,
)
from wes_service.languages.sources import LANGUAGES, quoted_paths, wdl_version

LARGEST_SOURCE = 2 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Closure:
    """`files` are absolute paths, the main document first; `patterns` the secondary file patterns per input."""

    main: Path | None
    language: str | None
    version: str | None = None
    files: tuple[Path, ...] = ()
    patterns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def root(self) -> Path | None:
        return common_folder(self.files) if self.files else None


def cwl_closure(main: Path, in_place: Sequence[Path], params: JsonObject) -> Closure:
    """Follows `run`, `$import`, `$include`, `$schemas` and the defaults; raises `MissingFile` and `Unusable`."""
    files: dict[Path, None] = {main: None}
    warnings: list[str] = []
    documents = [main]
    main_document = read_document(main)
    if not isinstance(main_document, Mapping):
        raise Unusable(f"{main} is not a CWL document")
    for document in documents:
        parsed = main_document if document == main else read_document(document)
        for reference in references(parsed):
            path = _target(document, reference)
            if is_within(path, in_place) and Path(reference.target).is_absolute():
                continue
            if not path.exists():
                warnings += _missing(
                    path, document, reference, _is_overridden(parsed, document == main, reference, params)
                )
                continue
            _refuse_absolute(document, reference)
            if reference.kind == "document" and path not in files:
                documents.append(path)
            files |= dict.fromkeys(_with_siblings(path, parsed, reference))
    version = main_document.get("cwlVersion")
    return Closure(
        main=main,
        language="CWL",
        version=version if isinstance(version, str) else None,
        files=tuple(files),
        patterns=secondary_patterns(_entry(main_document)),
        warnings=tuple(warnings),
    )


def source_closure(main: Path, language: str | None) -> Closure:
    """Follows quoted names of files that exist beside a source, and takes what its engine reads unasked."""
    entry = LANGUAGES.get(language or "")
    files: dict[Path, None] = {main: None}
    companions = [main.parent / name for name in entry.companions] if entry else []
    sources = [main, *(path for path in companions if path.is_file())]
    for source in sources:
        for path in _named_beside(source):
            if path not in files and entry and path.name.endswith(entry.endings):
                sources.append(path)
            files[path] = None
    for path in companions:
        files |= dict.fromkeys(files_of(path))
    version = wdl_version(_source(main)) if language == "WDL" else None
    return Closure(main=main, language=language, version=version, files=tuple(files))


def _named_beside(source: Path) -> Iterator[Path]:
    for name in quoted_paths(_source(source)):
        path = absolute(source.parent / name)
        if path.is_file():
            yield path
        elif path.with_name(path.name + ".nf").is_file():
            # Nextflow lets an include leave the ending out.
            yield path.with_name(path.name + ".nf")


def _source(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(LARGEST_SOURCE)
    except OSError as error:
        raise Unusable(f"{path} can't be read: {error.strerror}") from None


def _target(document: Path, reference: Reference) -> Path:
    return absolute(document.parent / reference.target)


def _is_overridden(parsed: Json, is_main: bool, reference: Reference, params: JsonObject) -> bool:
    return is_main and default_of(parsed, reference) in params


def _missing(path: Path, document: Path, reference: Reference, overridden: bool) -> list[str]:
    """Nothing where the file is not needed, a warning where it may not be; `MissingFile` otherwise."""
    if reference.optional or overridden:
        return []
    referrer = f"{document} at '{reference.place}'"
    if is_default(reference):
        return [f"{path} does not exist; {referrer} has it as a default: a step that needs it will fail"]
    raise MissingFile(path, referrer)


def _refuse_absolute(document: Path, reference: Reference) -> None:
    if Path(reference.target).is_absolute():
        raise Unusable(
            f"{document} refers to {reference.target} by an absolute path at '{reference.place}': write it relative to "
            "the document, so that it can be uploaded, or name its folder with --in-place where the server may read it"
        )


def _with_siblings(path: Path, parsed: Json, reference: Reference) -> list[Path]:
    """A default file and the secondary files that its input asks for and that lie beside it."""
    name = default_of(parsed, reference)
    patterns = secondary_patterns(parsed).get(name, ()) if name else ()
    beside = (path.with_name(secondary_name(path.name, pattern)) for pattern in patterns)
    return [*files_of(path), *(file for sibling in beside for file in files_of(sibling))]


def _entry(document: JsonObject) -> Json:
    """The process that runs: the document itself, or `main` of a packed one."""
    graph = document.get("$graph")
    if not isinstance(graph, Sequence) or isinstance(graph, str):
        return document
    processes = [item for item in graph if isinstance(item, Mapping)]
    return next((item for item in processes if str(item.get("id", "")).lstrip("#") == "main"), None)
