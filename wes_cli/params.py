"""Params as text: files of JSON and YAML, options, and sheets of samples."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import UnreadableDocument
from common.json_types import Json, JsonObject
from wes_cli.local_files import absolute, files_of, is_file, is_folder, is_within, matching
from wes_service.languages.documents import parse_document
from wes_service.languages.sources import could_be_path, could_be_pattern, glob_alternatives


@dataclass(frozen=True, kw_only=True)
class Glob:
    """A text that names `files` by a pattern: `rest` of it is relative to `folder`."""

    folder: Path
    rest: str
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class NamedFiles:
    """What the texts of params name, each by the text as it is written."""

    files: Mapping[str, Path] = field(default_factory=dict)
    globs: Mapping[str, Glob] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def paths(self) -> list[Path]:
        """All of them."""
        return [*self.files.values(), *(path for glob in self.globs.values() for path in glob.files)]


def text_files(params: JsonObject, source: Path, folders: Sequence[Path], *, globs: bool) -> NamedFiles:
    """Relative to the first of the folders where a text names something; `source` is for the warnings."""
    files: dict[str, Path] = {}
    patterns: dict[str, Glob] = {}
    warnings: list[str] = []
    for text in dict.fromkeys(strings_of(params)):
        path = next((path for folder in folders if text and is_file(path := absolute(folder / text))), None)
        if path is not None:
            files[text] = path
        elif globs and (glob := _glob(text, folders)):
            patterns[text] = glob
        elif globs:
            warnings += _unmatched_warnings(text, source, folders)
    return NamedFiles(files=files, globs=patterns, warnings=tuple(warnings))


def replace_strings(value: Json, changed: Mapping[str, str]) -> Json:
    """A copy with other texts."""
    if isinstance(value, str):
        return changed.get(value, value)
    if isinstance(value, Mapping):
        return {key: replace_strings(item, changed) for key, item in value.items()}
    return [replace_strings(item, changed) for item in value] if isinstance(value, Sequence) else value


def glob_location(glob: Glob, names: Mapping[Path, str]) -> str:
    """The pattern for the attachments that its files are."""
    first = glob.files[0]
    folder = names[first].removesuffix(first.relative_to(glob.folder).as_posix())
    return folder + glob.rest


def folder_warnings(word: str, source: Path, folders: Sequence[Path]) -> Iterator[str]:
    """A warning where a word names a folder of files: it may be one to read, or one for results."""
    if could_be_path(word) and word.strip("./"):
        path = next((path for folder in folders if is_folder(path := absolute(folder / word))), None)
        if path is not None and next(files_of(path), None):
            advice = f"add --attach {path} if the workflow reads it"
            yield f"{source} names the folder {word}, which is not uploaded: {advice}"


def _glob(text: str, folders: Sequence[Path]) -> Glob | None:
    patterns = [each for each in glob_alternatives(text) if could_be_pattern(each)]
    for folder in folders if patterns else ():
        files = [path for pattern in patterns for path in matching(folder, pattern)]
        if files:
            fixed = _fixed_folder(text)
            return Glob(folder=absolute(folder / fixed), rest=text[len(fixed) :].lstrip("/"), files=tuple(files))
    return None


def _fixed_folder(pattern: str) -> str:
    """The part of a pattern before the first component with a mark in it."""
    start = min(index for mark in "*?[{" if (index := pattern.find(mark)) >= 0)
    return pattern[:start].rpartition("/")[0]


def _unmatched_warnings(text: str, source: Path, folders: Sequence[Path]) -> Iterator[str]:
    if "/" in text and any(could_be_pattern(each) for each in glob_alternatives(text)):
        yield f"{source} names {text!r}, which no file fits beside it: add --attach FILE for files that are elsewhere"
    else:
        yield from folder_warnings(text, source, folders)


TABLES = (".csv", ".tsv")
LISTS = (".txt",)
TREES = (".yaml", ".yml", ".json")
LARGEST = 4 * 1024 * 1024
MAX_NAMES = 50_000
_LOOKS_LIKE_DATA = re.compile(r"(?=[^/]+/)[\w.+/-]+\.\w{1,8}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class SheetFiles:
    """What a sheet names: `files` that are there, each by the folder that its name is relative to; warnings about
    the rest."""

    files: Mapping[Path, Path] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def is_sheet(path: Path) -> bool:
    """By its ending."""
    return path.suffix.lower() in {*TABLES, *LISTS, *TREES}


def is_table(path: Path) -> bool:
    """Whether its words are cells that have a meaning, not prose."""
    return path.suffix.lower() in TABLES


def sheet_words(path: Path) -> list[str]:
    """Every cell of a table or text of a tree, each once; nothing of a file that is no such, or over 4 MiB."""
    try:
        if path.stat().st_size > LARGEST:
            return []
        text = path.read_text(encoding="utf-8-sig")
        words = strings_of(_tree(path, text)) if path.suffix.lower() in TREES else _cells(text)
        return list(dict.fromkeys(word for word in words if word))[:MAX_NAMES]
    except (OSError, ValueError, csv.Error, UnreadableDocument, RecursionError):
        return []


def sheet_files(sheet: Path, folders: Sequence[Path], in_place: Sequence[Path] = ()) -> SheetFiles:
    """Names relative to the first of the folders where they are there; `in_place` need no upload."""
    files: dict[Path, Path] = {}
    gone: list[str] = []
    for word in sheet_words(sheet):
        here = _in_folders(word, folders)
        files |= here
        if not here and _names_data(word, sheet) and not is_within(Path(word), in_place):
            gone.append(word)
    return SheetFiles(files=files, warnings=tuple(_warnings(sheet, gone)))


def strings_of(value: Json) -> Iterator[str]:
    """Every text in a document, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from strings_of(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from strings_of(item)


def _cells(text: str) -> Iterator[str]:
    for line in text.splitlines():
        delimiter = next((mark for mark in "\t,;" if mark in line), ",")
        yield from (cell.strip() for row in csv.reader([line], delimiter=delimiter) for cell in row)


def _tree(path: Path, text: str) -> Json:
    tree: Json = json.loads(text) if path.suffix.lower() == ".json" else parse_document(text, str(path))
    return tree


def _in_folders(word: str, folders: Sequence[Path]) -> dict[Path, Path]:
    for folder in dict.fromkeys(folders):
        if could_be_path(word) and is_file(path := absolute(folder / word)):
            return {path: folder}
        if could_be_pattern(word) and "/" in word.partition("*")[0] and (files := matching(folder, word)):
            return dict.fromkeys(files, folder)
    return {}


def _names_data(word: str, sheet: Path) -> bool:
    """Whether a word that is no file here seems to be one: a sheet is sent as it is, so its absolute paths stay."""
    if word.startswith("/"):
        return could_be_path(word.lstrip("/")) and is_file(Path(word))
    return is_table(sheet) and could_be_path(word) and _LOOKS_LIKE_DATA.fullmatch(word) is not None


def _warnings(sheet: Path, gone: Sequence[str]) -> Iterator[str]:
    if gone:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        yield (
            f"{sheet} names {gone[0]}{more}, which can't be uploaded by that name: write names relative to the sheet "
            "or the workflow, or upload the files with --attach and name them as they are then called"
        )
