"""Input and output objects of cwltool's command line, for `wes-cwl-runner`."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from common.json_types import Json, JsonObject
from common.location import file_url
from wes_cli.errors import InvalidArgument
from wes_cli.local_files import absolute
from wes_cli.outputs import DownloadFile, basename_of, checksums
from wes_service.languages.documents import read_document
from wes_service.languages.references import with_locations

PLAIN = {"int": int, "long": int, "float": float, "double": float, "string": str, "stdin": Path}
FILES = frozenset({"File", "Directory", "stdin"})


def read_inputs(path: Path, name: str) -> JsonObject:
    """The inputs of a document by name; `name` is a process of a packed one (empty: `main`)."""
    document = read_document(path)
    if isinstance(document, Mapping) and "$graph" in document:
        processes = [item for item in _items(document["$graph"]) if isinstance(item, Mapping)]
        process_name = name or "main"
        document = next((item for item in processes if _name(item) == process_name), None)
    if not isinstance(document, Mapping):
        raise InvalidArgument(f"{path} holds no CWL process{f' named {name}' if name else ''}")
    inputs = document.get("inputs")
    if isinstance(inputs, Mapping):
        return inputs
    return {_name(item): item for item in _items(inputs) if isinstance(item, Mapping)}


def job_parser(inputs: JsonObject, program: str) -> argparse.ArgumentParser:
    """Options for the inputs whose type one can write on a command line; the others go into a job file."""
    parser = argparse.ArgumentParser(prog=program, allow_abbrev=False)
    parser.add_argument("job_order", nargs="?", type=Path, metavar="JOB", help="file with the inputs, JSON or YAML")
    for name, entry in inputs.items():
        settings = _settings(_type(entry))
        if settings is not None:
            doc = entry.get("doc") if isinstance(entry, Mapping) else None
            text = doc.replace("%", "%%") if isinstance(doc, str) else None
            parser.add_argument(f"--{name}", dest=name, help=text, **settings)
    return parser


def absolute_files(job: JsonObject, base: Path) -> JsonObject:
    """A copy whose local files have absolute locations; relative ones are meant from `base` on."""
    copy = with_locations(job, lambda target: file_url(absolute(base / target)))
    return copy if isinstance(copy, Mapping) else {}


def _type(entry: Json) -> Json:
    return entry.get("type") if isinstance(entry, Mapping) and "type" in entry else entry


def _settings(kind: Json) -> dict[str, Any] | None:
    """The arguments of `add_argument` for a CWL type; None where there is no way to write a value of it."""
    if isinstance(kind, Sequence) and not isinstance(kind, str):
        written = [each for each in kind if each != "null"]
        return _settings(written[0]) if len(written) == 1 else None
    if isinstance(kind, Mapping):
        return _of_schema(kind)
    if not isinstance(kind, str):
        return None
    name = kind.removesuffix("?")
    if name.endswith("[]"):
        return _array(_settings(name.removesuffix("[]")))
    if name == "boolean":
        return {"action": argparse.BooleanOptionalAction}
    if name in FILES:
        return {"type": partial(_file, "File" if name == "stdin" else name), "metavar": "PATH"}
    return {"type": PLAIN[name], "metavar": name.upper()} if name in PLAIN else None


def _of_schema(kind: JsonObject) -> dict[str, Any] | None:
    if kind.get("type") == "array":
        return _array(_settings(kind.get("items")))
    if kind.get("type") == "enum":
        choices = [str(symbol).rpartition("#")[2].rpartition("/")[2] for symbol in _items(kind.get("symbols"))]
        return {"choices": choices}
    return None


def _array(settings: dict[str, Any] | None) -> dict[str, Any] | None:
    """Written by repeating the option."""
    return None if settings is None or "action" in settings else {**settings, "action": "append"}


def _file(kind: str, text: str) -> JsonObject:
    # A location, so that any name of a file will do: a `path` may hold an expression.
    return {"class": kind, "location": text if "://" in text else file_url(absolute(Path(text)))}


def _name(item: JsonObject) -> str:
    return str(item.get("id", "")).lstrip("#").rpartition("/")[2]


def _items(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


NON_STANDARD_FIELDS = frozenset({"sha256", "mediaType"})
"""Fields of a File that are this server's own and not the standard's."""


@dataclass(frozen=True, kw_only=True)
class LocalOutputs:
    """`document` is the output object with these paths as `location` and `path`; `folders` are those that have to be
    there whether or not a file comes into them."""

    document: JsonObject
    files: Sequence[DownloadFile]
    folders: Sequence[Path]


def local_outputs(outputs: JsonObject, folder: Path) -> LocalOutputs:
    """The outputs in `folder`, an absolute path; different files of one name are kept apart by a number."""
    plan = _OutputLayout(folder)
    document = {name: plan.value(value, PurePosixPath()) for name, value in outputs.items()}
    return LocalOutputs(document=document, files=plan.files, folders=plan.folders)


class _OutputLayout:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[PurePosixPath] = set()
        # One file that is part of two outputs is one file, as it is for cwltool.
        self._paths_by_file: dict[tuple[PurePosixPath, str], PurePosixPath] = {}
        self.files: list[DownloadFile] = []
        self.folders: list[Path] = [folder]

    def value(self, value: Json, within: PurePosixPath) -> Json:
        if isinstance(value, Mapping):
            kind = value.get("class")
            if kind not in {"File", "Directory"}:
                return {name: self.value(item, within) for name, item in value.items()}
            return self._file(value, within) if kind == "File" else self._directory(value, within)
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [self.value(item, within) for item in value]
        return value

    def _file(self, value: JsonObject, within: PurePosixPath) -> Json:
        preferred = within / basename_of(value)
        location, size = value.get("location"), value.get("size")
        same = (preferred, str(value.get("checksum") or location))
        path = self._paths_by_file[same] if same in self._paths_by_file else self._free(preferred)
        if isinstance(location, str) and same not in self._paths_by_file:
            self.files.append(
                DownloadFile(
                    name=path.name,
                    path=path,
                    url=location,
                    size=size if isinstance(size, int) else None,
                    sums=checksums(value),
                )
            )
        self._paths_by_file[same] = path
        return self._at(path, value, "secondaryFiles", within)

    def _directory(self, value: JsonObject, within: PurePosixPath) -> Json:
        path = self._free(within / basename_of(value))
        self.folders.append(self._folder / path)
        return self._at(path, value, "listing", path)

    def _at(self, path: PurePosixPath, value: JsonObject, inner: str, within: PurePosixPath) -> Json:
        """The object with its local path; what its field `inner` lists is placed in the folder `within`."""
        path_on_disk = self._folder / path
        copy = {name: item for name, item in value.items() if name not in NON_STANDARD_FIELDS}
        copy |= {"location": file_url(path_on_disk), "path": str(path_on_disk), "basename": path.name}
        if inner in value:
            copy[inner] = self.value(value[inner], within)
        return copy

    def _free(self, path: PurePosixPath) -> PurePosixPath:
        """`path`, or with a number before its ending where that path is taken."""
        names = (path if number == 1 else path.with_stem(f"{path.stem}_{number}") for number in count(1))
        free = next(name for name in names if name not in self._taken)
        self._taken.add(free)
        return free
