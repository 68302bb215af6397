"""Finds the files in an output object of any engine, and gives each a safe place to be saved at. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from common.json_types import Json, JsonObject


@dataclass(frozen=True, kw_only=True)
class OutputFile:
    """`path` is where it is saved, relative; `sums` are checksums in hexadecimal by algorithm, as far as given."""

    name: str
    path: PurePosixPath
    url: str
    size: int | None = None
    sums: Mapping[str, str]


def output_files(outputs: JsonObject) -> list[OutputFile]:
    """Every file of an output object, in its order, no two saved at the same place.

    An output that is named by its path (as with Snakemake and Nextflow) keeps its folders.
    """
    found = [file for name, value in outputs.items() for file in _files(name, value, _folder_of(name, value))]
    return list(_apart(found))


def plain_values(outputs: JsonObject) -> list[tuple[str, str]]:
    """The outputs that are no files, as text."""
    return [(name, _text(value)) for name, value in outputs.items() if not list(_files(name, value, PurePosixPath()))]


def _text(value: Json) -> str:
    """Strings as they are, an empty folder by its name, all else as JSON."""
    if isinstance(value, Mapping) and value.get("class") == "Directory":
        return f"{one_name(value)}/ (an empty folder)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _folder_of(name: str, value: Json) -> PurePosixPath:
    """The folders in the name of an output, where that is the path of its file."""
    path = PurePosixPath(name)
    if not isinstance(value, Mapping) or value.get("basename", _last(value.get("location"))) != path.name:
        return PurePosixPath()
    return PurePosixPath(*(_safe(part) for part in path.parts[:-1] if part != "/"))


def _files(name: str, value: Json, folder: PurePosixPath) -> Iterator[OutputFile]:
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        yield OutputFile(name=name, path=folder / _last(value), url=value, sums={})
    elif isinstance(value, Mapping):
        yield from _object(name, value, folder)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _files(name, item, folder)


def _object(name: str, value: JsonObject, folder: PurePosixPath) -> Iterator[OutputFile]:
    location = value.get("location")
    basename = one_name(value)
    if value.get("class") == "File":
        if isinstance(location, str):
            size = value.get("size")
            yield OutputFile(
                name=name,
                path=folder / basename,
                url=location,
                size=size if isinstance(size, int) else None,
                sums=checksums(value),
            )
        yield from _files(name, value.get("secondaryFiles"), folder)
    elif value.get("class") == "Directory":
        yield from _files(name, value.get("listing"), folder / basename)
    else:
        for item in value.values():
            yield from _files(name, item, folder)


def one_name(value: JsonObject) -> str:
    """The base name of a File or Directory as a single file name, whatever the server said."""
    return _safe(value.get("basename") or _last(value.get("location")))


def checksums(value: JsonObject) -> dict[str, str]:
    """Checksums of a File in hexadecimal by algorithm, as far as given."""
    sums: dict[str, str] = {}
    checksum, sha256 = value.get("checksum"), value.get("sha256")
    if isinstance(checksum, str) and checksum.startswith("sha1$"):
        sums["sha1"] = checksum.removeprefix("sha1$")
    if isinstance(sha256, str):
        sums["sha256"] = sha256
    return sums


def _last(url: Json) -> str:
    return _safe(unquote(PurePosixPath(urlsplit(url).path).name)) if isinstance(url, str) else "output"


def _safe(name: Json) -> str:
    """A single file name, whatever the server said."""
    text = str(name).replace("/", "_").replace("\0", "_")
    return text if text not in {"", ".", ".."} else "output"


def _apart(files: Sequence[OutputFile]) -> Iterator[OutputFile]:
    """Two files of the same name: the later one goes into a folder named after its output, numbered where needed."""
    taken: set[PurePosixPath] = set()
    for file in files:
        path, number = file.path, 1
        while path in taken:
            suffix = "" if number == 1 else f"-{number}"
            path, number = PurePosixPath(_safe(file.name) + suffix) / file.path, number + 1
        taken.add(path)
        yield OutputFile(name=file.name, path=path, url=file.url, size=file.size, sums=file.sums)
