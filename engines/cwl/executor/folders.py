"""Files that the executor makes in the run's folder. Nothing here needs cwltool."""

import contextlib
import hashlib
import re
import shutil
import threading
from pathlib import Path

UNSAFE = re.compile(r"[^\w.+-]")
LONGEST_NAME = 120


def new_folder(parent: Path, name: str) -> Path:
    """The folder `out` for a step's outputs, in a folder with its name that nothing wrote to before."""
    plain = UNSAFE.sub("_", name)[:LONGEST_NAME]
    number = 1
    while True:
        folder = parent / (plain if number == 1 else f"{plain}~{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            continue
        (folder / "out").mkdir()
        return folder / "out"


def write_literal(folder: Path, text: str, name: str) -> Path:
    """A file with this text; the same for the same text and name."""
    content = text.encode()
    place = folder / hashlib.sha256(content).hexdigest()[:32]
    place.mkdir(exist_ok=True)
    path = place / name
    if not path.exists():
        unfinished = place / f".{threading.get_ident()}"
        unfinished.write_bytes(content)
        unfinished.rename(path)
    return path


def replace_by_link(place: Path, source: str) -> None:
    with contextlib.suppress(PermissionError):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        elif place.is_symlink() or place.exists():
            place.unlink()
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source)


def write_back(place: Path, source: str) -> None:
    if place.is_dir():
        shutil.copytree(place, source, dirs_exist_ok=True)
    else:
        shutil.copyfile(place, source)
