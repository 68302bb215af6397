"""The closure of a workflow: every local file that its documents name, and that those files name in turn.

CWL says which files a document refers to; for the other languages they are the names that exist as files. A workflow
from elsewhere is foreign text and must not be able to upload a key by naming it, so files outside of its own folder
are refused unless a person names them.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from itertools import islice
from pathlib import Path

from common.json_types import Json, JsonObject
from wes_cli.errors import InvalidArgument, MissingFile
from wes_cli.local_files import (
    MAX_FILES,
    NEVER_ATTACHED,
    absolute,
    common_folder,
    files_of,
    is_file,
    is_folder,
    is_there,
    is_within,
    matching,
    secondary_file,
)
from wes_cli.params import folder_warnings, is_sheet, sheet_files, sheet_words
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
    Language,
    PathWord,
    made_by_rules,
    path_words,
    wdl_version,
)

LARGEST_SOURCE = 2 * 1024 * 1024
"""Bytes of a source that are looked through for names."""
WITH_SHEETS = frozenset({"SMK", "NFL"})
"""Languages whose sample sheets name files."""
GIT_FOLDER = ".git"
MADE_FOLDERS = re.compile(r"(results?|out(put|dir|s)?|work|reports?|logs?|pipeline_info)", re.IGNORECASE)
"""Beginnings of the names of folders that workflows make."""
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


def project_folder(main: Path, language: str | None) -> Path:
    """The folder that the engine works in: for `workflow/Snakefile`, as Snakemake advises, the one above."""
    return main.parent.parent if language == "SMK" and main.parent.name == "workflow" else main.parent


@dataclass(frozen=True, kw_only=True)
class _SourceScan:
    """`referrers`: every file with the document that names it. `folders`: words of configs that may name some, which
    are not taken unasked."""

    main: Path
    language: str | None
    project: Path
    referrers: dict[Path, Path] = field(default_factory=dict)
    made: list[re.Pattern[str]] = field(default_factory=list)
    left_out: dict[Path, None] = field(default_factory=dict)
    folders: list[tuple[str, Path]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, path: Path, referrer: Path) -> None:
        self.referrers.setdefault(path, referrer)


def source_closure(main: Path, language: str | None) -> Closure:
    """Follows the names of files that exist, and takes what the engine reads unasked."""
    entry = LANGUAGES.get(language or "")
    scan = _SourceScan(main=main, language=language, project=project_folder(main, language))
    scan.add(main, main)
    for companion in entry.companions if entry else ():
        for file in files_of(scan.project / companion, NEVER_ATTACHED):
            scan.add(file, main)
    _follow(scan, entry)
    _leave_out_rule_outputs(scan)
    for word, config in scan.folders:
        if not any(path.is_relative_to(absolute(scan.project / word)) for path in scan.referrers):
            scan.warnings.extend(folder_warnings(word, config, [scan.project]))
    return Closure(
        main=main,
        language=language,
        version=wdl_version(_source(main)) if language == "WDL" else None,
        project=scan.project,
        referrers=scan.referrers,
        warnings=tuple(scan.warnings),
    )


def _follow(scan: _SourceScan, entry: Language | None) -> None:
    read: set[Path] = set()
    # Grows while it is gone through.
    waiting = list(scan.referrers)
    for document in waiting:
        if document in read or not (document == scan.main or _is_read(document, scan.language, entry)):
            continue
        read.add(document)
        for path in _files_named_in(scan, document):
            if path not in scan.referrers:
                waiting.append(path)
            scan.add(path, document)


def _is_read(path: Path, language: str | None, entry: Language | None) -> bool:
    """Whether a file may name others: a source, a config file or a sheet."""
    if language in WITH_SHEETS and is_sheet(path):
        return True
    endings = (entry.endings if entry else ()) + ((".config",) if language == "NFL" else ())
    return path.name.endswith(endings)


def _files_named_in(scan: _SourceScan, document: Path) -> Iterator[Path]:
    if document != scan.main and is_sheet(document):
        yield from _files_of_sheet(scan, document)
        return
    text = _source(document)
    if scan.language == "SMK":
        scan.made.extend(made_by_rules(text))
    for word in path_words(scan.language, text):
        yield from _files_of_word(scan, document, word)


def _files_of_word(scan: _SourceScan, document: Path, word: PathWord) -> list[Path]:
    """The files that a word names from the first of its folders where there are some."""
    folders = {"document": document.parent, "project": scan.project}
    for folder in dict.fromkeys(folders[base] for base in word.bases):
        if word.is_pattern:
            files = matching(folder, word.text)
        else:
            candidates = _candidates(absolute(folder / word.text), document, word.text, scan.language)
            files = [path for path in candidates if is_file(path)][:1]
            if not files and word.is_beside:
                files = _files_beside(absolute(folder / word.text), scan.project)
        if files:
            return files
    return []


def _files_beside(path: Path, project: Path) -> list[Path]:
    """Those of a folder of the project, or those whose names go on behind a dot, as of an index; results are none."""
    if path == project or not path.is_relative_to(project) or MADE_FOLDERS.match(path.name):
        return []
    if is_folder(path):
        return list(islice(files_of(path, NEVER_ATTACHED), MAX_FILES))
    return matching(path.parent, f"{escape(path.name)}.*") if path.parent != project else []


def _candidates(path: Path, document: Path, word: str, language: str | None) -> list[Path]:
    """Nextflow lets an include leave the ending out or name a folder, and a template's folder is understood."""
    if language != "NFL":
        return [path]
    template = document.parent / "templates" / word
    return [path, Path(f"{path}.nf"), path / "main.nf", absolute(template)]


def _files_of_sheet(scan: _SourceScan, sheet: Path) -> Iterator[Path]:
    names = sheet_files(sheet, (sheet.parent, scan.project))
    scan.warnings.extend(names.warnings)
    if scan.language == "SMK":
        scan.folders.extend((word, sheet) for word in sheet_words(sheet))
    yield from names.files


def _leave_out_rule_outputs(scan: _SourceScan) -> None:
    """Results of an earlier run of this folder would make an engine think that there is nothing to do."""
    kept = {scan.main}
    for path in scan.referrers:
        if path not in kept and is_within(path, [scan.project]):
            name = path.relative_to(scan.project).as_posix()
            if any(pattern.fullmatch(name) for pattern in scan.made):
                scan.left_out[path] = None
    for path in scan.left_out:
        del scan.referrers[path]
    if scan.left_out:
        names = [path.relative_to(scan.project).as_posix() for path in scan.left_out]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        scan.warnings.append(f"{names[0]}{more} not uploaded, as a rule makes it: --attach it to start from it")


def _source(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(LARGEST_SOURCE)
    except OSError as error:
        raise InvalidArgument(f"{path} can't be read: {error.strerror}") from None


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
