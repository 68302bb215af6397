"""Finds the files that a Snakefile, a Nextflow script or a WDL document names in quotes. Pure."""

import re
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from common.attachment import LONGEST_PART

QUOTED = re.compile(r"""(?P<quote>'''|\"\"\"|'|")(?P<text>[^'"\n\0]{1,400})(?P=quote)""")
VERSION_OF_WDL = re.compile(r"^[ \t]*version\s+(\S+)", re.MULTILINE)
BESIDE = re.compile(r"^\$\{?(?:workflow\.)?(?P<name>projectDir|baseDir|launchDir|moduleDir)\}?/")
"""Nextflow's names for the folders of the project and of a source."""
COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(?P<module>\w+)|import[ \t]+(?P<modules>[\w., \t]+))", re.MULTILINE)
_MODULE = re.compile(r"\w+")
_WILDCARD = re.compile(r"\{(\w+)(?:,[^{}]*)?\}")
_ALTERNATIVES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_SECTION = re.compile(r"^[ \t]*([A-Za-z_]+)[ \t]*:", re.MULTILINE)
_SOME = "[^/]+"
_MADE = frozenset({"output", "log", "benchmark"})
MOST_PATTERNS = 64

Base = Literal["document", "project"]


class Language(NamedTuple):
    """A workflow language: its names in `workflow_type`, the endings of its documents, and what lies beside them.

    `companions` are files and folders beside the workflow that its engine reads without being told.
    """

    names: tuple[str, ...]
    endings: tuple[str, ...]
    companions: tuple[str, ...] = ()


LANGUAGES: Mapping[str, Language] = {
    "CWL": Language(("CWL",), (".cwl",)),
    "SMK": Language(
        ("SMK", "SNAKEMAKE"), ("Snakefile", ".smk", ".snakefile"), ("config", "profiles", "workflow/profiles")
    ),
    "NFL": Language(
        ("NFL", "NEXTFLOW", "NXF"), (".nf",), ("nextflow.config", "nextflow_schema.json", "bin", "lib", "templates")
    ),
    "WDL": Language(("WDL",), (".wdl",)),
}


def language_of(name: str) -> str | None:
    """The language of a document by its name; None where the name does not tell."""
    path = PurePosixPath(name)
    for language, entry in LANGUAGES.items():
        if any(path.name == ending or path.suffix.lower() == ending for ending in entry.endings):
            return language
    return None


def language_named(name: str) -> str | None:
    """The language that a `workflow_type` means; None for one that is not known here."""
    return next((key for key, entry in LANGUAGES.items() if name.upper() in entry.names), None)


@dataclass(frozen=True, kw_only=True)
class PathWord:
    """A word that may name files: a relative path, or a glob where `is_pattern`. With `is_beside` the source says that
    it lies beside the workflow, so that it may also be a folder, or what the names of several files begin with.

    It is relative to one of `bases`: the folder of the `document` that holds it, or the `project`'s, in which the
    engine works.
    """

    text: str
    bases: tuple[Base, ...] = ("document", "project")
    is_pattern: bool = False
    is_beside: bool = False


def imported_modules(text: str) -> list[str]:
    """What a Python script imports, by the first part of each name, in its order."""
    names = (name for match in _IMPORT.finditer(text) for name in (match["module"] or match["modules"]).split(","))
    return list(dict.fromkeys(found[0] for name in names if (found := _MODULE.match(name.strip()))))


def path_words(language: str | None, text: str) -> list[PathWord]:
    """What a source names in quotes, in its order, each once; words that it puts together itself are left out."""
    found = (word for match in QUOTED.finditer(text) for word in _path_words(language, match["text"].strip()))
    return list(dict.fromkeys(found))


def _path_words(language: str | None, quoted: str) -> Iterator[PathWord]:
    base = BESIDE.match(quoted) if language == "NFL" else None
    word = quoted[base.end() :] if base else quoted
    bases: tuple[Base, ...] = ("document", "project")
    if base:
        bases = ("document",) if base["name"] == "moduleDir" else ("project",)
    if could_be_path(word):
        yield PathWord(text=word, bases=bases, is_beside=base is not None)
        return
    for pattern in _globs(language, word):
        if could_be_path(pattern):
            yield PathWord(text=pattern, bases=bases, is_beside=base is not None)
        # A pattern such as '*.bam' is what a process makes; one of data names their folder.
        elif could_be_pattern(pattern) and (base or "/" in pattern.partition("*")[0]):
            yield PathWord(text=pattern, bases=("project",) if language == "SMK" else bases, is_pattern=True)


def _globs(language: str | None, word: str) -> list[str]:
    """The globs that a Nextflow pattern or a Snakemake name with wildcards stands for."""
    if language == "SMK":
        return [_WILDCARD.sub("*", word)] if _WILDCARD.search(word) else []
    return glob_alternatives(word) if language == "NFL" else []


def glob_alternatives(word: str) -> list[str]:
    """`a_{1,2}.fq` is `a_1.fq` and `a_2.fq`; nothing where there would be too many."""
    done, left = [], [word]
    while left:
        text = left.pop(0)
        match = _ALTERNATIVES.search(text)
        if match is None:
            done.append(text)
        else:
            left += [text[: match.start()] + each + text[match.end() :] for each in match[1].split(",")]
        if len(done) + len(left) > MOST_PATTERNS:
            return []
    return done


def could_be_path(word: str) -> bool:
    """Whether a word could be a relative path, with nothing in it that only an engine can fill in."""
    return _is_relative(word) and not any(mark in word for mark in "{}$*?<>|\\")


def could_be_pattern(word: str) -> bool:
    """Whether a word could be a glob of files below a folder."""
    return (
        _is_relative(word)
        and any(mark in word for mark in "*?[")
        and not any(mark in word for mark in "{}$<>|\\")
        and ".." not in word.split("/")
    )


def _is_relative(word: str) -> bool:
    """Whether a file system would take it for a relative path."""
    return (
        bool(word)
        and not word.startswith(("/", "~"))
        and "://" not in word
        and word.isprintable()
        and all(len(part.encode()) <= LONGEST_PART for part in word.split("/"))
    )


def made_by_rules(text: str) -> list[re.Pattern[str]]:
    """The outputs, logs and benchmarks of a Snakefile's rules, as patterns of relative paths."""
    sections = [(match.start(), match[1]) for match in _SECTION.finditer(text)]
    starts = [start for start, _ in sections]
    found = []
    for match in QUOTED.finditer(text):
        index = bisect(starts, match.start()) - 1
        if index >= 0 and sections[index][1] in _MADE and _is_relative(match["text"]):
            found.append(match["text"])
    return [_as_pattern(word) for word in dict.fromkeys(found)]


def _as_pattern(word: str) -> re.Pattern[str]:
    """A wildcard stands for some text without a folder: what it may match besides is not needed here."""
    first, *rest = _WILDCARD.split(word)[::2]
    # Two wildcards side by side are one: else there would be many ways to match a text.
    pattern = re.escape(first)
    for part in rest:
        pattern += ("" if pattern.endswith(_SOME) else _SOME) + re.escape(part)
    return re.compile(pattern)


def wdl_version(text: str) -> str:
    """The version that a WDL document declares; one that declares none is `draft-2`."""
    found = VERSION_OF_WDL.search(COMMENT.sub("", text))
    return found[1] if found else "draft-2"
