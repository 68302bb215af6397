"""Files and folders that the executor makes for steps. Nothing here needs cwltool."""

import contextlib
import hashlib
import json
import re
import shutil
import threading
from pathlib import Path
from typing import Any

from engines.kit.files import new_folder, write_json

UNSAFE_CHARACTER = re.compile(r"[^\w.+-]")
LONGEST_NAME = 120


def new_output_folder(steps: Path, name: str) -> Path:
    """The folder `out` for a step's outputs, in a folder with its name that nothing wrote to before."""
    folder = new_folder(steps, UNSAFE_CHARACTER.sub("_", name)[:LONGEST_NAME]) / "out"
    folder.mkdir()
    return folder


def first_outputs(out: Path, outputs: Any) -> Any:
    """The output object that was collected from this folder first, which is this one where there was none.

    A later step may have changed a file in place: an engine that is started again must not take it for another one.
    """
    kept = out.with_name(".outputs.json")
    if kept.exists():
        return json.loads(kept.read_text())
    with contextlib.suppress(TypeError, ValueError):
        write_json(kept, outputs)
    return outputs


def write_literal(folder: Path, text: str, name: str) -> Path:
    """A file with this text; the same for the same text and name."""
    content = text.encode()
    parent = folder / hashlib.sha256(content).hexdigest()[:32]
    parent.mkdir(exist_ok=True)
    path = parent / name
    if not path.exists():
        unfinished = parent / f".{threading.get_ident()}"
        unfinished.write_bytes(content)
        unfinished.rename(path)
    return path


def replace_by_link(path: Path, source: str) -> None:
    """Puts a link to `source` where `path` is, or is to be; what belongs to another user stays."""
    with contextlib.suppress(PermissionError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.is_symlink() or path.exists():
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(source)


def write_back(path: Path, source: str) -> None:
    """Makes the file or folder `source` what `path` is now; where the engine was started again, it may be so already,
    and `path` a link to it."""
    if path.samefile(source):
        return
    if path.is_dir():
        shutil.copytree(path, source, dirs_exist_ok=True)
    else:
        shutil.copyfile(path, source)
