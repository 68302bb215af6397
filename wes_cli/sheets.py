"""Names of files in sample sheets and config files: CSV, TSV, YAML and JSON."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import UnreadableDocument
from common.json_types import Json
from wes_cli.local_files import absolute, is_file, is_within, matching
from wes_service.languages.documents import parse_document
from wes_service.languages.sources import could_be_path, could_be_pattern

TABLES = (".csv", ".tsv")
LISTS = (".txt",)
TREES = (".yaml", ".yml", ".json")
LARGEST = 4 * 1024 * 1024
MOST_NAMES = 50_000
_LOOKS_LIKE_DATA = re.compile(r"(?=[^/]+/)[\w.+/-]+\.\w{1,8}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class SheetNames:
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
        words = texts(_tree(path, text)) if path.suffix.lower() in TREES else _cells(text)
        return list(dict.fromkeys(word for word in words if word))[:MOST_NAMES]
    except (OSError, ValueError, csv.Error, UnreadableDocument, RecursionError):
        return []


def sheet_names(sheet: Path, folders: Sequence[Path], in_place: Sequence[Path] = ()) -> SheetNames:
    """Names relative to the first of the folders where they are there; `in_place` need no upload."""
    files: dict[Path, Path] = {}
    gone: list[str] = []
    for word in sheet_words(sheet):
        here = _in_folders(word, folders)
        files |= here
        if not here and _is_wanted(word, sheet) and not is_within(Path(word), in_place):
            gone.append(word)
    return SheetNames(files=files, warnings=tuple(_warnings(sheet, gone)))


def texts(value: Json) -> Iterator[str]:
    """Every text in a document, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from texts(item)


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


def _is_wanted(word: str, sheet: Path) -> bool:
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
