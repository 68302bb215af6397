"""Files that params name by plain texts, as Snakemake, Nextflow and WDL take them: paths, globs and sheets of paths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.json_types import Json, JsonObject
from wes_cli.local_files import absolute, files_of, is_file, is_folder, matching
from wes_cli.sheets import texts
from wes_service.languages.sources import could_be_path, could_be_pattern, glob_alternatives


@dataclass(frozen=True, kw_only=True)
class Glob:
    """A text that names `files` by a pattern: `rest` of it is relative to `folder`."""

    folder: Path
    rest: str
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class TextFiles:
    """What the texts of params name, each by the text as it is written."""

    files: Mapping[str, Path] = field(default_factory=dict)
    globs: Mapping[str, Glob] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def paths(self) -> list[Path]:
        """All of them."""
        return [*self.files.values(), *(path for glob in self.globs.values() for path in glob.files)]


def text_files(params: JsonObject, source: Path, folders: Sequence[Path], *, globs: bool) -> TextFiles:
    """Relative to the first of the folders where a text names something; `source` is for the warnings."""
    files: dict[str, Path] = {}
    patterns: dict[str, Glob] = {}
    warnings: list[str] = []
    for text in dict.fromkeys(texts(params)):
        path = next((path for folder in folders if text and is_file(path := absolute(folder / text))), None)
        if path is not None:
            files[text] = path
        elif globs and (glob := _glob(text, folders)):
            patterns[text] = glob
        elif globs:
            warnings += _not_taken(text, source, folders)
    return TextFiles(files=files, globs=patterns, warnings=tuple(warnings))


def with_texts(value: Json, changed: Mapping[str, str]) -> Json:
    """A copy with other texts."""
    if isinstance(value, str):
        return changed.get(value, value)
    if isinstance(value, Mapping):
        return {key: with_texts(item, changed) for key, item in value.items()}
    return [with_texts(item, changed) for item in value] if isinstance(value, Sequence) else value


def glob_location(glob: Glob, names: Mapping[Path, str]) -> str:
    """The pattern for the attachments that its files are."""
    first = glob.files[0]
    folder = names[first].removesuffix(first.relative_to(glob.folder).as_posix())
    return folder + glob.rest


def unasked_folder(word: str, source: Path, folders: Sequence[Path]) -> Iterator[str]:
    """A warning where a word names a folder of files: it may be one to read, or one for results."""
    if could_be_path(word) and word.strip("./"):
        path = next((path for folder in folders if is_folder(path := absolute(folder / word))), None)
        if path is not None and next(files_of(path), None):
            advice = f"add --attach {path} if the workflow reads it"
            yield f"{source} names the folder {word}, which is not uploaded: {advice}"


def _glob(text: str, folders: Sequence[Path]) -> Glob | None:
    patterns = [each for each in glob_alternatives(text) if could_be_pattern(each)]
    for folder in folders if patterns else ():
        files = [path for pattern in patterns for path in matching(folder, pattern)]
        if files:
            fixed = _fixed_folder(text)
            return Glob(folder=absolute(folder / fixed), rest=text[len(fixed) :].lstrip("/"), files=tuple(files))
    return None


def _fixed_folder(pattern: str) -> str:
    """The part of a pattern before the first component with a mark in it."""
    start = min(index for mark in "*?[{" if (index := pattern.find(mark)) >= 0)
    return pattern[:start].rpartition("/")[0]


def _not_taken(text: str, source: Path, folders: Sequence[Path]) -> Iterator[str]:
    if "/" in text and any(could_be_pattern(each) for each in glob_alternatives(text)):
        yield f"{source} names {text!r}, which no file fits beside it: add --attach FILE for files that are elsewhere"
    else:
        yield from unasked_folder(text, source, folders)
