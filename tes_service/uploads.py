"""Outputs that go to other servers: object stores, and http(s) URLs by PUT (acceptance: tes, 6).

There are no symlinks and no empty folders there: what a symlink of the output leads to is stored in its place.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from common.location import RemoteLocation, parse_location
from common.masking import bare_url
from tes_service.errors import TaskFault
from tes_service.folder_access import opened_source
from tes_service.layout import Layout
from tes_service.output_paths import results_of
from tes_service.output_selection import Deliverable, Delivered, OutputFolder, regular_file
from tes_service.processes import StopSignal
from tes_service.task_log import OutputLog
from tes_service.transfers import each_at_once

AT_ONCE = 4
"""Files of one task that are sent at the same time; a large one is sent in parts, several of them at once, too."""


class OutputStorage(Protocol):
    """Where outputs go that are not for files of this machine."""

    def store(self, url: str, source: int, stop: StopSignal) -> None:
        """Stores the bytes of the open file `source`, which may be an O_PATH descriptor, whole or not at all.
        `TaskFault`."""


@dataclass(frozen=True, kw_only=True)
class _SentOutput:
    source: Path
    log: OutputLog


@dataclass(frozen=True, kw_only=True)
class Uploads:
    """The outputs of one task that go to other servers. `named`: what the task itself calls an input, output or
    volume."""

    storage: OutputStorage
    layout: Layout
    named: frozenset[str]
    stop: StopSignal

    def deliver(self, items: Sequence[Deliverable]) -> dict[Deliverable, Delivered]:
        """Returns when all are stored; `TaskFault` where one can't be."""
        planned = {item: self._planned(item) for item in items}
        if planned:
            each_at_once((file for files, _ in planned.values() for file in files), self._send, AT_ONCE)
        return {item: done for item, (_, done) in planned.items()}

    def _planned(self, item: Deliverable) -> tuple[list[_SentOutput], Delivered]:
        """What has to be sent of it, and what is told once that is done."""
        if not item.found.path.is_dir():
            log = OutputLog(url=item.url, path=item.path, size_bytes=regular_file(item).st_size)
            return [_SentOutput(source=item.found.path, log=log)], Delivered(files=(log,))
        folder = OutputFolder(item=item, layout=self.layout, named=self.named)
        found = folder.listing(links=False)
        files = [_SentOutput(source=one.source, log=folder.log(one)) for one in found.entries if one.kind == "file"]
        done = folder.delivered(found)
        if not files:
            empty = f"the output {item.path} holds no files: nothing of it is stored at {bare_url(item.url)}"
            done = replace(done, notes=(*done.notes, empty))
        return files, done

    def _send(self, file: _SentOutput) -> None:
        self.stop.check()
        path = file.log.path
        try:
            file.log.url.encode()
            with opened_source(results_of(self.layout), file.source) as source:
                self.storage.store(file.log.url, source.fd, self.stop)
        except UnicodeEncodeError:
            raise TaskFault(f"the output {os.fsencode(path)!r} has a name that is not UTF-8, as URLs are") from None
        except OSError as error:
            raise TaskFault(f"the output {path} can't be read: {error.strerror}") from None
        except TaskFault as fault:
            raise TaskFault(f"the output {path}: {fault}") from None


def is_remote(url: str) -> bool:
    """Whether an output goes to another server."""
    return isinstance(parse_location(url), RemoteLocation)
