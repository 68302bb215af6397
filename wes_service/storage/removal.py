"""Removes folders that foreign code has written to."""

import os
import shutil
from pathlib import Path


def remove_tree(folder: Path) -> bool:
    """Removes a folder and all in it, symlinks themselves; whether nothing of it is left."""
    shutil.rmtree(folder, ignore_errors=True)
    # Tools leave folders that nobody may write to, which only stop one who is not root.
    if os.path.lexists(folder) and os.geteuid() != 0:
        _open_up(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return not os.path.lexists(folder)


def _open_up(folder: Path) -> None:
    """Gives this user, who owns them, all rights to the folder and those in it, each before it is entered."""
    _allow(folder)
    for place, names, _ in os.walk(folder):
        for name in names:
            _allow(Path(place, name))


def _allow(folder: Path) -> None:
    try:
        if not folder.is_symlink():
            folder.chmod(0o700)
    except OSError:
        return
