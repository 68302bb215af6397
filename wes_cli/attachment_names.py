"""How the files of a submission are called: by their places to each other, and data from elsewhere below `inputs/`."""

from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path, PurePosixPath

from wes_cli.local_files import common_folder

INPUTS_FOLDER = "inputs"


def attachment_names(
    workflow: Iterable[Path], data: Iterable[Path], root: Path | None = None, whole: Sequence[Path] = ()
) -> dict[Path, str]:
    """Absolute paths to attachment names.

    Files of the workflow are named from `root` on, which holds them all, else from their common folder. Data in that
    folder keeps its place there; other data goes below `inputs/`, named from its own common folder, as params name it
    by location and so can follow it. `whole`: folders of data in which files keep their places to each other.
    """
    documents, others = list(dict.fromkeys(workflow)), list(dict.fromkeys(data))
    if not documents and not others:
        return {}
    anchors = [folder / "any" for folder in whole]
    root = root or common_folder(documents or [*others, *anchors])
    names = {path: path.relative_to(root).as_posix() for path in documents}
    outside: list[Path] = []
    for path in others:
        if path in names:
            continue
        if path.is_relative_to(root):
            names[path] = path.relative_to(root).as_posix()
        else:
            outside.append(path)
    if outside:
        folder, base = (
            _free_folder(names.values()),
            common_folder([*outside, *(each for each in anchors if not each.is_relative_to(root))]),
        )
        names |= {path: f"{folder}/{path.relative_to(base).as_posix()}" for path in outside}
    return names


def _free_folder(taken: Iterable[str]) -> str:
    tops = {PurePosixPath(name).parts[0] for name in taken}
    if INPUTS_FOLDER not in tops:
        return INPUTS_FOLDER
    return next(name for number in count(2) if (name := f"{INPUTS_FOLDER}-{number}") not in tops)
