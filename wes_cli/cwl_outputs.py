"""Where a CWL runner puts the files of an output object, and the object that says so. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

from common.json_types import Json, JsonObject
from common.location import file_url
from wes_cli.output_files import OutputFile, checksums, one_name

OURS = frozenset({"sha256", "mediaType"})
"""Fields of a File that are this server's own and not the standard's."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """`document` is the output object with the places as `location` and `path`; `folders` are those that have to be
    there whether or not a file comes into them."""

    document: JsonObject
    files: Sequence[OutputFile]
    folders: Sequence[Path]


def placed(outputs: JsonObject, folder: Path) -> Placed:
    """The outputs in `folder`, an absolute path; different files of one name are kept apart by a number."""
    plan = _Plan(folder)
    document = {name: plan.value(value, PurePosixPath()) for name, value in outputs.items()}
    return Placed(document=document, files=plan.files, folders=plan.folders)


class _Plan:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[PurePosixPath] = set()
        # One file that is part of two outputs is one file, as it is for cwltool.
        self._places: dict[tuple[PurePosixPath, str], PurePosixPath] = {}
        self.files: list[OutputFile] = []
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
        wanted = within / one_name(value)
        location, size = value.get("location"), value.get("size")
        same = (wanted, str(value.get("checksum") or location))
        path = self._places[same] if same in self._places else self._free(wanted)
        if isinstance(location, str) and same not in self._places:
            self.files.append(
                OutputFile(
                    name=path.name,
                    path=path,
                    url=location,
                    size=size if isinstance(size, int) else None,
                    sums=checksums(value),
                )
            )
        self._places[same] = path
        return self._at(path, value, "secondaryFiles", within)

    def _directory(self, value: JsonObject, within: PurePosixPath) -> Json:
        path = self._free(within / one_name(value))
        self.folders.append(self._folder / path)
        return self._at(path, value, "listing", path)

    def _at(self, path: PurePosixPath, value: JsonObject, inner: str, within: PurePosixPath) -> Json:
        """The object at its place; what its field `inner` lists comes into the folder `within`."""
        place = self._folder / path
        copy = {name: item for name, item in value.items() if name not in OURS}
        copy |= {"location": file_url(place), "path": str(place), "basename": path.name}
        if inner in value:
            copy[inner] = self.value(value[inner], within)
        return copy

    def _free(self, path: PurePosixPath) -> PurePosixPath:
        """`path`, or with a number before its ending where something has that place already."""
        names = (path if number == 1 else path.with_stem(f"{path.stem}_{number}") for number in count(1))
        free = next(name for name in names if name not in self._taken)
        self._taken.add(free)
        return free
