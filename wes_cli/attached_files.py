"""What `--attach` adds: files, and folders without what git and other tools keep in them for themselves."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from wes_cli.errors import InvalidArgument, MissingFile
from wes_cli.local_files import NEVER_ATTACHED, absolute, is_file, is_there, similar_name

if TYPE_CHECKING:
    from dulwich.ignore import IgnoreFilterManager

GIT = ".git"
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class AttachedFiles:
    """`names`: attachment names by absolute path. `warnings` tell what a `.gitignore` has kept here."""

    names: Mapping[Path, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def attached_files(
    arguments: Sequence[Path], names: Mapping[Path, str], root: Path | None, language: str | None
) -> AttachedFiles:
    """Each at its place beside the workflow, else by its own name at the top; without those that are in `names`.

    What a folder's `.gitignore` leaves out stays here, unless the folder that is named is itself left out by one.
    Raises `MissingFile`, and `InvalidArgument` for two files of one name.
    """
    never = (*NEVER_ATTACHED, "work") if language == "NFL" else NEVER_ATTACHED
    added: dict[Path, str] = {}
    warnings: list[str] = []
    for argument in arguments:
        path = absolute(argument)
        if not is_there(path):
            raise MissingFile(argument, "--attach", similar_name(path))
        base = root if root and path.is_relative_to(root) else path.parent
        folder = _Folder(path=path, never=never)
        added |= {file: file.relative_to(base).as_posix() for file in folder.files() if file not in names}
        warnings += _warnings([one for one in folder.ignored if one not in names])
    taken = set(names.values())
    clash = next((name for name in added.values() if name in taken), None)
    if clash:
        raise InvalidArgument(f"--attach: another file is called {clash!r} already")
    return AttachedFiles(names=added, warnings=tuple(warnings))


def _warnings(ignored: Sequence[Path]) -> Iterator[str]:
    if ignored:
        shown = ", ".join(str(path) for path in ignored[:SHOWN])
        more = f" and {len(ignored) - SHOWN} more" if len(ignored) > SHOWN else ""
        yield f"not uploaded, as .gitignore leaves it out: {shown}{more}; --attach what the workflow needs of it"


@dataclass(frozen=True, kw_only=True)
class _Folder:
    """`never`: patterns of names that are passed over in silence. `ignored`: what git would leave out, once all files
    were asked for."""

    path: Path
    never: Sequence[str]
    ignored: list[Path] = field(default_factory=list)

    def files(self) -> Iterator[Path]:
        """The file itself, or every file below the folder, in a stable order."""
        if is_file(self.path):
            yield self.path
            return
        rules = _GitRules.around(self.path)
        for folder, folders, names in os.walk(self.path):
            folders[:] = [name for name in sorted(folders) if self._is_kept(Path(folder) / name, f"{name}/", rules)]
            kept = (Path(folder) / name for name in sorted(names) if self._is_kept(Path(folder) / name, name, rules))
            yield from (file for file in kept if is_file(file))

    def _is_kept(self, path: Path, name: str, rules: "_GitRules | None") -> bool:
        if any(fnmatch(path.name, pattern) for pattern in self.never):
            return False
        if rules is not None and rules.leave_out(path, is_folder=name.endswith("/")):
            self.ignored.append(path)
            return False
        return True


@dataclass(frozen=True, kw_only=True)
class _GitRules:
    """Of the checkout in which a folder lies, or of the folder alone where it is in none."""

    top: Path
    manager: "IgnoreFilterManager"

    @classmethod
    def around(cls, folder: Path) -> "_GitRules | None":
        """None where the folder itself is left out: who names it wants what is in it."""
        # Only here, as it takes a while to import.
        from dulwich.ignore import IgnoreFilter, IgnoreFilterManager

        top = next((one for one in (folder, *folder.parents) if is_there(one / GIT)), folder)
        exclude = top / GIT / "info" / "exclude"
        own = [IgnoreFilter.from_path(str(exclude))] if is_file(exclude) else []
        rules = cls(top=top, manager=IgnoreFilterManager(str(top), own, ignorecase=False))
        inside = [one for one in (folder, *folder.parents) if one != top and one.is_relative_to(top)]
        return None if any(rules.leave_out(one, is_folder=True) for one in inside) else rules

    def leave_out(self, path: Path, *, is_folder: bool) -> bool:
        """By all `.gitignore` files from the top to the path's own folder."""
        name = path.relative_to(self.top).as_posix() + ("/" if is_folder else "")
        return self.manager.is_ignored(name) is True
