"""Where the files of one run lie in an object store.

No key is the beginning of another one, as some servers (Funnel 0.12) take an object that is for a folder: contents go
by digests of one length, outputs by numbers of one length, and nothing else lies beside either.
"""

import hashlib
import itertools
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from common.object_store import ObjectStores
from tes.task import TesOutput, TesTask

_OUTPUT = re.compile(r"(?P<number>\d{6})(?P<rest>(/.*)?)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class StoredOutput:
    """What a TES stored for an output of a task: for `outputs[number]`, at `path` below it where that is a folder."""

    number: int
    path: str


@dataclass(frozen=True, kw_only=True)
class RunObjects:
    """`storage`: what the operator named, e.g. `s3://runs/far`, without a slash at its end."""

    storage: str
    run_id: str

    @property
    def folder(self) -> str:
        """The URL below which all of the run lies."""
        return f"{self.storage}/{self.run_id}"

    def content(self, digest: str) -> str:
        """The URL of a file that tasks read, by the SHA-256 of its bytes (hexadecimal)."""
        return f"{self.folder}/contents/{digest}"

    def copy(self, url: str) -> str:
        """The URL of the copy of an output that not every server can read where it is."""
        return f"{self.folder}/copies/{hashlib.sha256(url.encode()).hexdigest()}"

    def fetched(self, name: str) -> str:
        """The URL of an input that came from elsewhere, by the SHA-256 of the URL that a task named."""
        return f"{self.folder}/fetched/{name}"

    def outputs(self, task_id: str, submission: int) -> str:
        """The URL of the folder that a task, sent for the `submission`th time, writes all its outputs to."""
        return f"{self.folder}/outputs/{task_id}/{submission}"

    def output(self, task_id: str, submission: int, number: int) -> str:
        """The URL of the file or folder that `outputs[number]` of a task goes to."""
        return f"{self.outputs(task_id, submission)}/{number:06}"

    def stored_output(self, task_id: str, submission: int, url: str) -> StoredOutput | None:
        """What an object is to its task; None for one that is none of its outputs."""
        below = url.removeprefix(f"{self.outputs(task_id, submission)}/")
        found = None if below == url else _OUTPUT.fullmatch(below)
        return None if found is None else StoredOutput(number=int(found["number"]), path=found["rest"][1:])


@dataclass(frozen=True, kw_only=True)
class StoredRuns:
    """All runs in all stores that are configured: as `RunStorages`."""

    stores: ObjectStores
    storages: frozenset[str]

    def remove(self, run_id: str) -> None:
        """Nothing where the run never used a store."""
        for storage in self.storages:
            self.stores.delete_below(RunObjects(storage=storage, run_id=run_id).folder)


def url_below(output: TesOutput, path: str) -> str:
    """The `file://` URL that an engine knows for what lies at `path` in one of its outputs."""
    return f"{output['url'].rstrip('/')}/{quote(path)}" if path else output["url"]


def beginnings(urls: Sequence[str]) -> frozenset[str]:
    """Those with which another one begins, so that not every server can read them alone."""
    ordered = sorted(urls)
    return frozenset(one for one, following in itertools.pairwise(ordered) if following.startswith(one))


def is_safe(path: str) -> bool:
    """Whether a path that a store tells of stays in its folder, and can be that of a file on Linux."""
    parts = path.split("/")
    short = all(len(part.encode()) <= 255 for part in parts)
    return short and "\0" not in path and not {"", ".", ".."} & set(parts) and posixpath.normpath(path) == path


def in_folder(task: TesTask, number: int) -> bool:
    """Whether `outputs[number]` of the task may be more than one file: a folder, or what a wildcard matches."""
    output = (task.get("outputs") or [])[number]
    return output.get("type") == "DIRECTORY" or bool(output.get("path_prefix"))
