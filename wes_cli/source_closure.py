"""The closure of a workflow in a language whose documents name files in quotes: the names that exist as files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import escape
from itertools import islice
from pathlib import Path

from wes_cli.closure import WITH_SHEETS, Closure
from wes_cli.errors import InvalidArgument
from wes_cli.local_files import MAX_FILES, NEVER_ATTACHED, absolute, files_of, is_file, is_folder, is_within, matching
from wes_cli.params import folder_warnings, is_sheet, sheet_files, sheet_words
from wes_service.languages.sources import (
    LANGUAGES,
    Language,
    PathWord,
    imported_modules,
    made_by_rules,
    path_words,
    wdl_version,
)

LARGEST_SOURCE = 2 * 1024 * 1024
"""Bytes of a source that are looked through for names."""
MADE_FOLDERS = re.compile(r"(results?|out(put|dir|s)?|work|reports?|logs?|pipeline_info)", re.IGNORECASE)
"""Beginnings of the names of folders that workflows make."""


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
    if (language in WITH_SHEETS and is_sheet(path)) or _is_script(path, language):
        return True
    endings = (entry.endings if entry else ()) + ((".config",) if language == "NFL" else ())
    return path.name.endswith(endings)


def _files_named_in(scan: _SourceScan, document: Path) -> Iterator[Path]:
    if document != scan.main and is_sheet(document):
        yield from _files_of_sheet(scan, document)
        return
    text = _source(document)
    if _is_script(document, scan.language):
        yield from _imported_files(document, text)
        return
    if scan.language == "SMK":
        scan.made.extend(made_by_rules(text))
    for word in path_words(scan.language, text):
        yield from _files_of_word(scan, document, word)


def _is_script(path: Path, language: str | None) -> bool:
    """Of a rule: its words are about results, but its imports lie beside it."""
    return language == "SMK" and path.suffix == ".py"


def _imported_files(script: Path, text: str) -> Iterator[Path]:
    for name in imported_modules(text):
        module, package = script.parent / f"{name}.py", script.parent / name
        if is_file(module):
            yield module
        elif is_file(package / "__init__.py"):
            yield from islice(files_of(package, NEVER_ATTACHED), MAX_FILES)


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
