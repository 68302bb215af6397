"""Files on other servers, which are there by their URLs."""

import os
from collections.abc import Sequence

from tes_service.processes import StopSignal
from tes_service.remote_files import MissingFault, RemoteFile


class FakeRemoteFiles:
    """What inputs are fetched from, and outputs are stored in. `listed`: what `files` says, whatever is there."""

    def __init__(self, objects: dict[str, bytes] | None = None, listed: Sequence[RemoteFile] | None = None) -> None:
        self.objects = dict(objects or {})
        self._listed = listed
        self.read_only: dict[str, bool] = {}

    def bring(self, url: str, folder: int, name: str, stop: StopSignal, *, read_only: bool) -> None:
        stop.check()
        if url not in self.objects:
            raise MissingFault(f"the input {url} can't be fetched")
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
        with os.fdopen(fd, "wb") as file:
            file.write(self.objects[url])
        self.read_only[url] = read_only

    def files(self, url: str, stop: StopSignal) -> Sequence[RemoteFile]:
        stop.check()
        if self._listed is not None:
            return self._listed
        below = {key.removeprefix(f"{url}/"): key for key in self.objects if key.startswith(f"{url}/")}
        return [RemoteFile(path=path, url=key, size=len(self.objects[key])) for path, key in below.items()]

    def store(self, url: str, source: int, stop: StopSignal) -> None:
        stop.check()
        with open(f"/proc/self/fd/{source}", "rb") as file:  # noqa: PTH123
            self.objects[url] = file.read()
