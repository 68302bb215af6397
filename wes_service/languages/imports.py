"""The files that a Snakefile, a Nextflow script or a WDL document says it needs, by its own statements. Pure.

For documents that can't be looked beside, as on the web: by quoted words alone (`sources.path_words`) every output
would be asked for too.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from wes_service.languages.sources import BESIDE, could_be_path

_QUOTED = r"""\s*+(?:\(\s*+)?(?:r|u)?(?P<quote>'''|\"\"\"|'|")(?P<text>[^'"\n\0]{1,400})(?P=quote)"""
_SNAKEMAKE = re.compile(
    r"^[ \t]*(?P<word>include|configfile|pepfile|script|notebook|conda|snakefile|template_engine|report)[ \t]*:"
    + _QUOTED,
    re.MULTILINE,
)
_SNAKEMAKE_CALL = re.compile(r"\b(?:workflow\.source_path|report|srcdir)\(" + _QUOTED)
_NEXTFLOW = re.compile(r"\binclude\s*\{[^{}]*\}\s*from" + _QUOTED)
_NEXTFLOW_CONFIG = re.compile(r"^[ \t]*includeConfig\b" + _QUOTED, re.MULTILINE)
_NEXTFLOW_TEMPLATE = re.compile(r"^[ \t]*template\b" + _QUOTED, re.MULTILINE)
_WDL = re.compile(r"^[ \t]*import\b" + _QUOTED, re.MULTILINE)
_COMMENTS = re.compile(r"^[ \t]*(?:#|//).*$", re.MULTILINE)
_DOCUMENTS = {"include", "snakefile"}


@dataclass(frozen=True, kw_only=True)
class Import:
    """One file that is needed.

    `names`: where it may be, relative to the document, the first that is there counts. `follow`: it is a source of the
    same language. `optional`: a workflow may do without it. `from_main`: relative to the workflow's main document.
    """

    names: tuple[str, ...]
    follow: bool = False
    optional: bool = False
    from_main: bool = False


def imports_of(language: str, text: str, *, is_main: bool) -> list[Import]:
    """In their order, each once; nothing that is put together from variables."""
    finders = {"SMK": _snakemake, "NFL": _nextflow, "WDL": _wdl}
    finder = finders.get(language)
    if finder is None:
        return []
    found = list(finder(_COMMENTS.sub("", text)))
    if is_main and language == "NFL":
        found.append(Import(names=("nextflow.config",), follow=True, optional=True))
    return list(dict.fromkeys(found))


def _snakemake(text: str) -> Iterator[Import]:
    for match in _SNAKEMAKE.finditer(text):
        word, name = match["word"], match["text"]
        if could_be_path(name):
            # 'conda: "base"' names an environment that is there; a config file may come with the params.
            optional = word == "report" or (word == "conda" and not name.endswith((".yaml", ".yml")))
            yield Import(
                names=(name,),
                follow=word in _DOCUMENTS,
                optional=optional or word in {"configfile", "pepfile"},
                from_main=word in {"configfile", "pepfile"},
            )
    for match in _SNAKEMAKE_CALL.finditer(text):
        if could_be_path(match["text"]):
            yield Import(names=(match["text"],), optional=True)


def _nextflow(text: str) -> Iterator[Import]:
    for match in _NEXTFLOW.finditer(text):
        name, beside_main = BESIDE.sub("", match["text"]), match["text"].startswith(("$projectDir", "${projectDir"))
        if could_be_path(name) and (beside_main or name.startswith(".")):
            names = (name,) if name.endswith(".nf") else (f"{name}.nf", posixpath.join(name, "main.nf"))
            yield Import(names=names, follow=True, from_main=beside_main)
    for match in _NEXTFLOW_CONFIG.finditer(text):
        name = BESIDE.sub("", match["text"])
        if could_be_path(name):
            yield Import(names=(name,), follow=True, optional=True)
    for match in _NEXTFLOW_TEMPLATE.finditer(text):
        if could_be_path(match["text"]):
            yield Import(names=(f"templates/{match['text']}",), optional=True)


def _wdl(text: str) -> Iterator[Import]:
    for match in _WDL.finditer(text):
        if could_be_path(match["text"]):
            yield Import(names=(match["text"],), follow=True)
