"""Inputs and outputs in object stores: S3, Google Cloud Storage, Azure Blob (acceptance: tes, 6).

A task names bucket and key. Where the store is, and with which credentials it is asked, is the operator's alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from common.errors import (
    EngineError,
    InvalidLocation,
    ObjectNotFound,
    ObjectStoreFailure,
    ObjectStoreRefused,
    ObjectUnchanged,
    SettingsError,
)
from common.object_store import ObjectStores
from sandbox.network import TransientFailure
from tes_service.remote_files import Content, FileUnchanged, NoSuchRemoteFile, RemoteFile, Write

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class StoreTransfer:
    """As `InputSource`, `OutputTarget` and `FolderSource`."""

    stores: ObjectStores

    def receive(self, url: str, write: Write, unless: str) -> str:
        with self._configured(url):
            try:
                stream = self.stores.open(url, unless=unless)
            except ObjectUnchanged:
                raise FileUnchanged from None
            for chunk in stream.chunks:
                write(memoryview(chunk))
        return stream.e_tag or ""

    def send(self, url: str, content: Content) -> None:
        with self._configured(url):
            self.stores.put(url, content.file())

    def files(self, url: str) -> Iterator[RemoteFile]:
        folder = url.rstrip("/")
        with self._configured(url):
            for one in self.stores.list(url):
                if one.url != folder and not one.url.startswith(f"{folder}/"):
                    raise EngineError(f"its object store lists {one.url}, which is not beneath it")
                yield RemoteFile(path=one.url[len(folder) + 1 :], url=one.url, size=one.size)

    @contextmanager
    def _configured(self, url: str) -> Iterator[None]:
        """The settings may be others than those when the task came: never are this machine's own credentials sent."""
        with _translated():
            if not self.stores.configured(url):
                raise EngineError("no object store is configured here for it any more")
            yield


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ObjectNotFound as error:
        raise NoSuchRemoteFile(str(error)) from None
    except (ObjectStoreRefused, InvalidLocation) as error:
        raise EngineError(str(error)) from None
    except ObjectStoreFailure as error:
        raise TransientFailure(str(error)) from None
    except SettingsError as error:
        # What is wrong with the operator's files is nothing for a task's log.
        log.error("store.unusable", action="transfer", problem=str(error))
        raise EngineError("its object store is not set up as it should be; the log of this server says more") from None
