"""The files that a Snakefile, a Nextflow script or a WDL document needs, by the names in it and in what it names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wes_cli.errors import Unusable
from wes_cli.local_files import NEVER_ATTACHED, Closure, absolute, files_of, is_file, is_within, matching
from wes_cli.params import is_sheet, sheet_names, sheet_words, unasked_folder
from wes_service.languages.sources import (
    LANGUAGES,
    Language,
    PathWord,
    made_by_rules,
    path_words,
    wdl_version,
)

LARGEST_SOURCE = 2 * 1024 * 1024
WITH_SHEETS = frozenset({"SMK", "NFL"})


def project_folder(main: Path, language: str | None) -> Path:
    """The folder that the engine works in: for `workflow/Snakefile`, as Snakemake advises, the one above."""
    return main.parent.parent if language == "SMK" and main.parent.name == "workflow" else main.parent


@dataclass(frozen=True, kw_only=True)
class _Found:
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
    found = _Found(main=main, language=language, project=project_folder(main, language))
    found.add(main, main)
    for companion in entry.companions if entry else ():
        for file in files_of(found.project / companion, NEVER_ATTACHED):
            found.add(file, main)
    _follow(found, entry)
    _leave_out_what_rules_make(found)
    for word, config in found.folders:
        if not any(path.is_relative_to(absolute(found.project / word)) for path in found.referrers):
            found.warnings.extend(unasked_folder(word, config, [found.project]))
    return Closure(
        main=main,
        language=language,
        version=wdl_version(_source(main)) if language == "WDL" else None,
        project=found.project,
        referrers=found.referrers,
        warnings=tuple(found.warnings),
    )


def _follow(found: _Found, entry: Language | None) -> None:
    read: set[Path] = set()
    # Grows while it is gone through.
    waiting = list(found.referrers)
    for document in waiting:
        if document in read or not (document == found.main or _is_read(document, found.language, entry)):
            continue
        read.add(document)
        for path in _named_in(found, document):
            if path not in found.referrers:
                waiting.append(path)
            found.add(path, document)


def _is_read(path: Path, language: str | None, entry: Language | None) -> bool:
    """Whether a file may name others: a source, a config file or a sheet."""
    if language in WITH_SHEETS and is_sheet(path):
        return True
    endings = (entry.endings if entry else ()) + ((".config",) if language == "NFL" else ())
    return path.name.endswith(endings)


def _named_in(found: _Found, document: Path) -> Iterator[Path]:
    if document != found.main and is_sheet(document):
        yield from _named_in_sheet(found, document)
        return
    text = _source(document)
    if found.language == "SMK":
        found.made.extend(made_by_rules(text))
    for word in path_words(found.language, text):
        yield from _meant(found, document, word)


def _meant(found: _Found, document: Path, word: PathWord) -> list[Path]:
    """The files that a word names from the first of its folders where there are some."""
    folders = {"document": document.parent, "project": found.project}
    for folder in dict.fromkeys(folders[base] for base in word.bases):
        if word.is_pattern:
            files = matching(folder, word.text)
        else:
            candidates = _candidates(absolute(folder / word.text), document, word.text, found.language)
            files = [path for path in candidates if is_file(path)][:1]
        if files:
            return files
    return []


def _candidates(path: Path, document: Path, word: str, language: str | None) -> list[Path]:
    """Nextflow lets an include leave the ending out or name a folder, and a template's folder is understood."""
    if language != "NFL":
        return [path]
    template = document.parent / "templates" / word
    return [path, Path(f"{path}.nf"), path / "main.nf", absolute(template)]


def _named_in_sheet(found: _Found, sheet: Path) -> Iterator[Path]:
    names = sheet_names(sheet, (sheet.parent, found.project))
    found.warnings.extend(names.warnings)
    if found.language == "SMK":
        found.folders.extend((word, sheet) for word in sheet_words(sheet))
    yield from names.files


def _leave_out_what_rules_make(found: _Found) -> None:
    """Results of an earlier run of this folder would make an engine think that there is nothing to do."""
    kept = {found.main}
    for path in found.referrers:
        if path not in kept and is_within(path, [found.project]):
            name = path.relative_to(found.project).as_posix()
            if any(pattern.fullmatch(name) for pattern in found.made):
                found.left_out[path] = None
    for path in found.left_out:
        del found.referrers[path]
    if found.left_out:
        names = [path.relative_to(found.project).as_posix() for path in found.left_out]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        found.warnings.append(f"{names[0]}{more} not uploaded, as a rule makes it: --attach it to start from it")


def _source(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(LARGEST_SOURCE)
    except OSError as error:
        raise Unusable(f"{path} can't be read: {error.strerror}") from None
