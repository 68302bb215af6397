"""Object stores in memory, by obstore's own, which count what is sent to them and read from them."""

from pathlib import Path
from typing import IO, Any

from obstore.store import MemoryStore

from common.errors import ObjectStoreFailure
from common.object_store import ObjectAddress, ObjectStores, ObjectStream
from gateway.run_objects import StoredRuns


def no_storages() -> StoredRuns:
    """As where all TES servers share a folder with the service."""
    return StoredRuns(stores=MemoryStores(), storages=frozenset())


class MemoryStores(ObjectStores):
    """Any bucket is there. `away`: nothing answers."""

    def __init__(self) -> None:
        super().__init__({})
        self.away = False
        self.sent: list[str] = []
        self.read: list[str] = []
        self._buckets: dict[str, MemoryStore] = {}

    def put(self, url: str, content: Path | IO[bytes] | bytes) -> None:
        super().put(url, content)
        self.sent.append(url)

    def open(self, url: str, *, unless: str = "") -> ObjectStream:
        self.read.append(url)
        return super().open(url, unless=unless)

    def content(self, url: str) -> bytes:
        return b"".join(bytes(chunk) for chunk in super().open(url).chunks)

    def urls(self, folder: str) -> list[str]:
        return [one.url for one in self.list(folder)]

    def _store(self, address: ObjectAddress) -> Any:
        if self.away:
            raise ObjectStoreFailure(address.root, "connection refused")
        return self._buckets.setdefault(address.root, MemoryStore())
