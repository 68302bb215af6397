"""Where cwltool finds the files of a run, and which paths they have in a step's container."""

from collections.abc import MutableSequence
from typing import IO, Any

from cwltool.errors import WorkflowException
from cwltool.pathmapper import MapperEnt, PathMapper
from cwltool.process import compute_checksums
from cwltool.stdfsaccess import StdFsAccess
from cwltool.utils import dedup
from schema_salad.ref_resolver import uri_file_path

from engines.kit.files import is_remote
from engines.kit.network import UnreadableUrl, open_url
from engines.kit.outputs_on_demand import is_withheld


class NumberedPathMapper(PathMapper):
    """Numbers the folders of a step's inputs, where cwltool makes up a name for each: so a step's key is stable."""

    def setup(self, referenced_files: MutableSequence[Any], basedir: str) -> None:
        for number, item in enumerate(dedup(referenced_files), 1):
            folder = f"{self.stagedir}/{number}" if self.separateDirs else self.stagedir
            self.visit(item, folder, basedir, copy=bool(item.get("writable")), staged=True)

    def visit(self, obj: Any, stagedir: str, basedir: str, copy: bool = False, staged: bool = False) -> None:
        location = obj["location"]
        if not is_remote(location):
            super().visit(obj, stagedir, basedir, copy, staged)
        elif location not in self._pathmap:
            folder = obj.get("dirname") or stagedir
            kind = ("Writable" if copy else "") + obj["class"]
            self._pathmap[location] = MapperEnt(location, f"{folder}/{obj['basename']}", kind, staged)
            self.visitlisting(obj.get("secondaryFiles", []), stagedir, basedir, copy=copy, staged=staged)


def add_checksum(item: Any) -> None:
    """To a File whose bytes are here; others keep only their size, as reading them would bring them all here."""
    path = uri_file_path(item["location"]) if item["location"].startswith("file://") else item["location"]
    if not is_withheld(path) and not is_remote(path):
        compute_checksums(FileAccess(""), item)


class FileAccess(StdFsAccess):
    """The run's own files; what is elsewhere is taken to be there, and is read only where an expression wants it."""

    def open(self, fn: str, mode: str) -> IO[Any]:
        if not is_remote(fn):
            return super().open(fn, mode)
        try:
            return open_url(fn)
        except UnreadableUrl as error:
            raise WorkflowException(
                f"the workflow reads the contents of {fn} in an expression, but {error}; attach the file to the run "
                "instead"
            ) from None

    def isfile(self, fn: str) -> bool:
        return True if is_remote(fn) else super().isfile(fn)

    def isdir(self, fn: str) -> bool:
        return False if is_remote(fn) else super().isdir(fn)

    def exists(self, fn: str) -> bool:
        return False if is_remote(fn) else super().exists(fn)
