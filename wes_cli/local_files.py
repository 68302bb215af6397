"""Local files that params name, with all that belongs to them."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

from common.json_types import Json, JsonObject
from wes_cli.errors import MissingFile, Unusable
from wes_cli.layout import common_folder
from wes_service.languages.documents import read_document
from wes_service.languages.references import (
    Reference,
    SecondaryFiles,
    default_of,
    inputs_of,
    is_default,
    references,
    secondary_name,
    secondary_patterns,
)

MOST_FILES = 10_000
NEVER_ATTACHED = (".git", ".hg", ".svn", ".snakemake", ".nextflow", ".nextflow.log*", "__pycache__")
"""What tools keep beside a workflow for themselves."""


def absolute(path: Path) -> Path:
    """Absolute and without `..`, but a symlink keeps its own name: engines go by the name."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow symlinks


def is_file(path: Path) -> bool:
    """Whether there is such a file; False too for a name that is no path, or that may not be looked at."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """The same for a folder."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Whether it is a file or a folder."""
    return is_file(path) or is_folder(path)


def files_of(path: Path, leave_out: Sequence[str] = ()) -> Iterator[Path]:
    """The file itself, or every file below the folder, in a stable order; nothing where there is neither.

    `leave_out`: patterns of names of files and folders in it that are passed over.
    """
    if is_file(path):
        yield path
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not _fits(name, leave_out))
        kept = (Path(folder) / name for name in sorted(names) if not _fits(name, leave_out))
        yield from (file for file in kept if is_file(file))


def matching(folder: Path, pattern: str) -> list[Path]:
    """The files below the folder that a glob names, the first 10,000; `**.txt` means any folder below, as elsewhere."""
    pattern = re.sub(r"\*\*(?=[^/])", "**/*", pattern)
    try:
        return sorted(islice((path for path in folder.glob(pattern) if is_file(path)), MOST_FILES))
    except (OSError, ValueError, NotImplementedError):
        return []


def is_within(path: Path, folders: Sequence[Path]) -> bool:
    """Whether the path lies in one of the folders."""
    return any(path.is_relative_to(folder) for folder in folders)


def near_name(path: Path) -> str:
    """The name of a file beside it that may have been meant; empty where there is none."""
    try:
        names = [each.name for each in islice(path.parent.iterdir(), MOST_FILES)]
    except (OSError, ValueError):
        return ""
    return next(iter(get_close_matches(path.name, names, n=1, cutoff=0.6)), "")


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


@dataclass(frozen=True, kw_only=True)
class Closure:
    """`referrers`: the absolute path of each file, the main document first, with the document that names it.

    `project`: the folder that the engine works in; names of attachments begin there, or above it. `patterns`: the
    secondary file patterns per input. `inputs`: those of the process, as its document has them; none where unknown.
    """

    main: Path | None
    language: str | None
    version: str | None = None
    project: Path | None = None
    referrers: Mapping[Path, Path] = field(default_factory=dict)
    inputs: Mapping[str, Json] = field(default_factory=dict)
    patterns: Mapping[str, SecondaryFiles] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def root(self, attached: Sequence[Path] = ()) -> Path | None:
        """The folder that names begin at: the deepest with the project and all files, or one around it that was
        attached as a whole."""
        if self.project is None:
            return None
        root = common_folder([*self.referrers, self.project / "any"])
        around = [path for path in attached if root.is_relative_to(path)]
        return min(around, key=lambda path: len(path.parts), default=root)


def cwl_closure(main: Path, in_place: Sequence[Path], params: JsonObject) -> Closure:
    """Follows `run`, `$import`, `$include`, `$schemas` and the defaults; raises `MissingFile` and `Unusable`."""
    files: dict[Path, Path] = {main: main}
    warnings: list[str] = []
    documents = [main]
    imported: list[Json] = []
    main_document = read_document(main)
    if not isinstance(main_document, Mapping):
        raise Unusable(f"{main} is not a CWL document")
    for document in documents:
        parsed = main_document if document == main else read_document(document)
        imported += [parsed] if document != main else []
        for reference in references(parsed):
            path = _target(document, reference)
            if is_within(path, in_place) and Path(reference.target).is_absolute():
                continue
            if not is_there(path):
                warnings += _missing(
                    path, document, reference, _is_overridden(parsed, document == main, reference, params)
                )
                continue
            _refuse_absolute(document, reference)
            if reference.kind == "document" and path not in files:
                documents.append(path)
            for file in _with_siblings(path, parsed, reference):
                files.setdefault(file, document)
    version = main_document.get("cwlVersion")
    return Closure(
        main=main,
        language="CWL",
        version=version if isinstance(version, str) else None,
        project=main.parent,
        referrers=files,
        inputs=inputs_of(_entry(main_document)),
        patterns=secondary_patterns(_entry(main_document), imported),
        warnings=tuple(warnings),
    )


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


def secondary_file(path: Path, pattern: str) -> Path | None:
    """The file beside `path` that a pattern names; None where it would not be beside it."""
    name = secondary_name(path.name, pattern)
    return path.parent / name if name and "/" not in name and name not in {".", ".."} else None


def _with_siblings(path: Path, parsed: Json, reference: Reference) -> list[Path]:
    """A default file and the secondary files that its input asks for and that lie beside it."""
    name = default_of(parsed, reference)
    wanted = secondary_patterns(parsed).get(name or "", SecondaryFiles())
    beside = (sibling for pattern in wanted.patterns if (sibling := secondary_file(path, pattern)))
    return [*files_of(path), *(file for sibling in beside for file in files_of(sibling))]


def _entry(document: JsonObject) -> Json:
    """The process that runs: the document itself, or `main` of a packed one."""
    graph = document.get("$graph")
    if not isinstance(graph, Sequence) or isinstance(graph, str):
        return document
    processes = [item for item in graph if isinstance(item, Mapping)]
    return next((item for item in processes if str(item.get("id", "")).lstrip("#") == "main"), None)
