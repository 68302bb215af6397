"""Finds the files that a Snakefile, a Nextflow script or a WDL document names in quotes. Pure."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

QUOTED = re.compile(r"""(?P<quote>'''|\"\"\"|'|")(?P<text>[^'"\n\0]{1,400})(?P=quote)""")
VERSION_OF_WDL = re.compile(r"^\s*version\s+(\S+)", re.MULTILINE)
BESIDE = re.compile(r"^\$\{?(?:projectDir|baseDir|moduleDir)\}?/")
"""Nextflow's names for the folder that a source lies in."""
COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)


class Language(NamedTuple):
    """A workflow language: its names in `workflow_type`, the endings of its documents, and what lies beside them.

    `companions` are files and folders beside the workflow that its engine reads without being told.
    """

    names: tuple[str, ...]
    endings: tuple[str, ...]
    companions: tuple[str, ...] = ()


LANGUAGES: Mapping[str, Language] = {
    "CWL": Language(("CWL",), (".cwl",)),
    "SMK": Language(("SMK", "SNAKEMAKE"), ("Snakefile", ".smk", ".snakefile")),
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


def quoted_paths(text: str) -> list[str]:
    """Quoted words of a source that could be relative paths of files, in their order, each once."""
    words = (BESIDE.sub("", match["text"].strip()) for match in QUOTED.finditer(text))
    return list(dict.fromkeys(word for word in words if could_be_path(word)))


def could_be_path(word: str) -> bool:
    """Whether a quoted word could be a relative path, with nothing in it that only an engine can fill in."""
    return (
        bool(word)
        and not word.startswith(("/", "~"))
        and not any(mark in word for mark in "{}$*?<>|\\")
        and "://" not in word
    )


def wdl_version(text: str) -> str:
    """The version that a WDL document declares; one that declares none is `draft-2`."""
    found = VERSION_OF_WDL.search(COMMENT.sub("", text))
    return found[1] if found else "draft-2"
