"""Which attachments a job's task gets: what its rule declares, what its command names, and the workflow's own sources.

A source is an attachment that no rule declares as an input: scripts, settings, what a script reads beside itself. Data
are declared, and go to the jobs that declare them only. Nothing here needs Snakemake.
"""

import fnmatch
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

WORD = re.compile(r"[^\s\"'`=:,;|&<>(){}]+")
"""Of a command: whatever may be a path."""
GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, kw_only=True)
class Attachments:
    """`names`: the files in `folder`, relative to it and in order; each is linked into `work` under its name."""

    folder: Path
    work: Path
    names: tuple[str, ...]

    def named_by(self, paths: Iterable[str]) -> frozenset[str]:
        """The attachments that these paths stand for, a folder for all that is in it; relative ones are from `work`."""
        found: set[str] = set()
        for path in paths:
            name = self._name(path)
            if name is not None:
                found.update((name,) if name in self._known else self._inside.get(name, ()))
        return frozenset(found)

    def in_command(self, command: str) -> frozenset[str]:
        """Those that a shell command names, or that a pattern in it matches."""
        words = set(WORD.findall(command)) - {".", "./"}
        patterns = {word for word in words if GLOB.search(word)}
        found = self.named_by(words - patterns)
        for pattern in patterns:
            matches = re.compile(fnmatch.translate(self._name(pattern) or "")).match
            found |= {name for name in self.names if matches(name)}
        return found

    def cover(self, names: frozenset[str]) -> Iterator[Path]:
        """The fewest paths that hold these attachments and no other: whole folders, then files."""
        yield from self._cover("", names)

    def _cover(self, folder: str, names: frozenset[str]) -> Iterator[Path]:
        inside = self._inside.get(folder, ())
        if all(name in names for name in inside):
            yield self.folder / folder
            return
        for entry in self._entries.get(folder, ()):
            if entry in self._known:
                if entry in names:
                    yield self.folder / entry
            elif not names.isdisjoint(self._inside[entry]):
                yield from self._cover(entry, names)

    def _name(self, path: str) -> str | None:
        """As it was attached; empty for the folder of all. None for what lies elsewhere."""
        whole = os.path.normpath(self.work / path)
        for base in (self.work, self.folder):
            if whole == str(base):
                return ""
            if whole.startswith(f"{base}/"):
                return whole.removeprefix(f"{base}/")
        return None

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def _inside(self) -> Mapping[str, list[str]]:
        """The files at any depth of each folder."""
        inside: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            for folder in PurePosixPath(name).parents:
                inside["" if str(folder) == "." else str(folder)].append(name)
        return dict(inside)

    @cached_property
    def _entries(self) -> Mapping[str, list[str]]:
        """What lies directly in each folder, in order."""
        entries: dict[str, list[str]] = defaultdict(list)
        for path in sorted({*self._inside, *self.names} - {""}):
            entries[path.rpartition("/")[0]].append(path)
        return dict(entries)
