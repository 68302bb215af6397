"""The closure of a workflow: every local file that its documents name, and that those files name in turn.

CWL says which files a document refers to; for the other languages see `source_closure`. A workflow from elsewhere is
foreign text and must not be able to upload a key by naming it, so files outside of its own folder are refused unless a
person names them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.json_types import Json, JsonObject
from wes_cli.errors import InvalidArgument, MissingFile
from wes_cli.local_files import (
    absolute,
    common_folder,
    files_of,
    is_there,
    is_within,
    secondary_file,
)
from wes_service.languages.documents import read_document
from wes_service.languages.references import (
    Reference,
    SecondaryFiles,
    default_of,
    inputs_of,
    is_default,
    references,
    secondary_patterns,
)
from wes_service.languages.sources import (
    LANGUAGES,
)

WITH_SHEETS = frozenset({"SMK", "NFL"})
"""Languages whose sample sheets name files."""
GIT_FOLDER = ".git"
FILES_LISTED = 10
"""Refused files that a message names."""


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

    def is_companion(self, path: Path) -> bool:
        """Whether the engine reads it without being told, as it lies beside the workflow."""
        entry = LANGUAGES.get(self.language or "")
        folder = self.project
        names = entry.companions if entry and folder and self.language != "CWL" else ()
        return folder is not None and any(path.is_relative_to(folder / name) for name in names)

    def root(self, attached: Sequence[Path] = ()) -> Path | None:
        """The folder that names begin at: the deepest with the project and all files, or one around it that was
        attached as a whole."""
        if self.project is None:
            return None
        root = common_folder([*self.referrers, self.project / "any"])
        around = [path for path in attached if root.is_relative_to(path)]
        return min(around, key=lambda path: len(path.parts), default=root)


def cwl_closure(main: Path, in_place: Sequence[Path], params: JsonObject) -> Closure:
    """Follows `run`, `$import`, `$include`, `$schemas` and the defaults; raises `MissingFile` and `InvalidArgument`."""
    files: dict[Path, Path] = {main: main}
    warnings: list[str] = []
    documents = [main]
    imported: list[Json] = []
    main_document = read_document(main)
    if not isinstance(main_document, Mapping):
        raise InvalidArgument(f"{main} is not a CWL document")
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
        raise InvalidArgument(
            f"{document} refers to {reference.target} by an absolute path at '{reference.place}': write it relative to "
            "the document, so that it can be uploaded, or name its folder with --in-place where the server may read it"
        )


def _with_siblings(path: Path, parsed: Json, reference: Reference) -> list[Path]:
    """A default file and the secondary files that its input asks for and that lie beside it."""
    name = default_of(parsed, reference)
    patterns = secondary_patterns(parsed).get(name or "", SecondaryFiles())
    beside = (sibling for pattern in patterns.patterns if (sibling := secondary_file(path, pattern)))
    return [*files_of(path), *(file for sibling in beside for file in files_of(sibling))]


def _entry(document: JsonObject) -> Json:
    """The process that runs: the document itself, or `main` of a packed one."""
    graph = document.get("$graph")
    if not isinstance(graph, Sequence) or isinstance(graph, str):
        return document
    processes = [item for item in graph if isinstance(item, Mapping)]
    return next((item for item in processes if str(item.get("id", "")).lstrip("#") == "main"), None)


def workflow_folder(project: Path) -> Path:
    """The git checkout that holds the workflow's own folder, unless that is the home folder; else its own folder."""
    for folder in (project, *project.parents):
        if is_there(folder / GIT_FOLDER):
            return project if _holds_home(folder) else folder
    return project


def check_inside(files: Mapping[Path, Path], project: Path, allowed: Sequence[Path]) -> None:
    """`InvalidArgument` names the files outside of the workflow's folder.

    `files`: each with the document that names it. `allowed`: what a person named. A symlink is where it leads to.
    """
    folder = workflow_folder(project)
    outside = [path for path in files if not is_within(path, allowed) and not _is_inside(path, folder)]
    if not outside:
        return
    lines = [f"  {path}{_link_target(path)}  (named by {files[path]})" for path in outside[:FILES_LISTED]]
    lines += [f"  and {len(outside) - FILES_LISTED} more"] if len(outside) > FILES_LISTED else []
    raise InvalidArgument(
        f"the workflow names files outside of its folder {folder}, and these are not uploaded by themselves:\n"
        + "\n".join(lines)
        + "\nif they may be sent, name them with --attach FILE, or allow all of them with --allow-outside"
    )


def _is_inside(path: Path, folder: Path) -> bool:
    real, top = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    if not real.is_relative_to(top):
        return False
    parts = real.relative_to(top).parts
    return GIT_FOLDER not in parts and not (_holds_home(folder) and any(part.startswith(".") for part in parts))


def _holds_home(folder: Path) -> bool:
    """Whether it is the home folder or above it."""
    return Path.home().is_relative_to(folder)


def _link_target(path: Path) -> str:
    real = os.path.realpath(path)
    return "" if real == str(path) else f" -> {real}"
