"""The outputs of a workflow, brought together in one folder from those of its steps.

cwltool itself would move them there. An engine that is started again after that would find steps that are complete, and
folders of theirs that are empty; so they are linked, which costs neither time nor room.
"""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cwltool.process import stage_files
from cwltool.utils import visit_files, visit_files_directories
from schema_salad.ref_resolver import file_uri, uri_file_path

from engines.cwl.executor.files import NumberedPathMapper, add_checksum
from engines.kit.files import is_remote
from engines.kit.outputs_on_demand import is_withheld

FILES = ("File", "Directory")


def gathered(outputs: Any, folder: Path) -> Any:
    """The output object, changed: its files lie in `folder`, of which nothing stays that was there before, and have
    checksums where their bytes are here. Listings are complete already; what is elsewhere stays there."""
    shutil.rmtree(folder, ignore_errors=True)
    found = list(_outermost(outputs))
    visit_files_directories(found, _follow_links)
    paths = NumberedPathMapper(found, "", str(folder), separateDirs=False)
    stage_files(paths, stage_func=link, symlink=False, fix_conflicts=True)
    visit_files_directories(outputs, partial(_relocate, paths))
    visit_files(outputs, add_checksum)
    return outputs


def link(source: str, target: str) -> None:
    """Makes `target`, whose folder is there, the file or a folder with the files that `source` leads to; copies what
    can't be linked."""
    real = Path(source).resolve()
    if real.is_dir():
        Path(target).mkdir(exist_ok=True)
        for entry in real.iterdir():
            link(str(entry), f"{target}/{entry.name}")
    elif not os.path.lexists(target):
        try:
            _link_file(real, target)
        except OSError:
            shutil.copy2(real, target)


def _link_file(real: Path, target: str) -> None:
    try:
        os.link(real, target)
    except PermissionError:
        if not is_withheld(real):
            raise
        # Of another user, until it is opened, and so fetched: the kernel may let only its owner link such a file.
        with real.open("rb"):
            os.link(real, target)


def _outermost(value: Any) -> Iterator[Any]:
    """Files and folders that are in no other."""
    if isinstance(value, dict) and value.get("class") in FILES:
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _outermost(item)


def _follow_links(entry: Any) -> None:
    location = entry["location"]
    if location.startswith(("file:", "/")):
        entry["location"] = file_uri(os.path.realpath(uri_file_path(location) if location[0] != "/" else location))


def _relocate(paths: NumberedPathMapper, entry: Any) -> None:
    entry.pop("contents", None)
    if not is_remote(entry["location"]):
        entry["location"] = file_uri(paths.mapper(entry["location"]).target)
