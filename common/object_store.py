"""Object stores (S3, Google Cloud Storage, Azure Blob): how each is reached, and objects moved to and from them.

The one module that knows obstore, which is imported only where a store is used. URLs are `s3://BUCKET/KEY`,
`gs://BUCKET/KEY` and `az://CONTAINER/KEY`; a key is taken literally, as no store's own tools decode it.
All methods block, for as long as the bytes take: servers call them in threads.
"""

import contextlib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import Full, Queue
from typing import IO, TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Buffer

from common.errors import (
    InvalidLocation,
    ObjectNotFound,
    ObjectStoreFailure,
    ObjectStoreRefused,
    ObjectUnchanged,
    SettingsError,
)
from common.location import STORES, RemoteLocation, parse_location
from common.masking import masked_text
from common.settings import PathInFile, read_secret

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PART = 8 * 1024**2
"""Bytes of a part, where a file has so few that this will do."""
MOST_PARTS = 9_000
"""S3 takes 10,000."""
PARTS_AT_ONCE = 6
LISTED_AT_ONCE = 1_000
_ONLY_FOR = {
    "region": "s3",
    "access_key_id_file": "s3",
    "secret_access_key_file": "s3",
    "session_token_file": "s3",
    "service_account_file": "gs",
    "account": "az",
    "account_key_file": "az",
    "sas_token_file": "az",
}
STORE_SECRETS = frozenset(
    {"access_key_id_file", "secret_access_key_file", "session_token_file", "account_key_file", "sas_token_file"}
)
"""Keys of files that hold one secret."""
_PREFIX = re.compile(r"(?P<scheme>[a-z0-9]+)(://[^/]+(/.*)?)?")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,221}", re.ASCII)
"""As all stores together have them; what else stands there could become part of a host's name."""
CLIENT_OPTIONS = {"connect_timeout": "5s", "read_timeout": "120s", "timeout": "7days"}
"""Of one request. Its whole time is not bounded, as a large file over a slow line takes what it takes."""


class StoreSettings(BaseModel):
    """One table `[stores.PREFIX]`: how objects whose URLs begin with PREFIX are reached. Secrets lie in files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str | None = Field(None, description="URL of the server, where it is not the cloud's own")
    region: str | None = Field(None, description="region of the bucket (S3; default us-east-1)")
    access_key_id_file: PathInFile | None = Field(None, description="file with the id of the access key (S3)")
    secret_access_key_file: PathInFile | None = Field(None, description="file with the secret access key (S3)")
    session_token_file: PathInFile | None = Field(None, description="file with the token of temporary credentials (S3)")
    service_account_file: PathInFile | None = Field(
        None, description="JSON file with the key of a service account (gs)"
    )
    account: str | None = Field(None, description="name of the storage account (az)")
    account_key_file: PathInFile | None = Field(None, description="file with the key of the storage account (az)")
    sas_token_file: PathInFile | None = Field(None, description="file with a shared access signature (az)")
    anonymous: bool = Field(False, description="send no credentials, as for public data")
    inputs: bool = Field(
        False, description="tasks of all runs may read it by these credentials on a TES that can't read it itself"
    )
    ca_file: PathInFile | None = Field(None, description="certificates to trust besides the system's (PEM)")
    retry_seconds: float = Field(30.0, ge=0, description="how long a request that gets no answer is tried again")

    def check(self, scheme: str) -> None:
        """`SettingsError` where something is set that stores of this scheme do not have."""
        for name in self.model_fields_set & _ONLY_FOR.keys():
            if _ONLY_FOR[name] != scheme:
                raise SettingsError(f"{name} is for {_ONLY_FOR[name]}: stores only")

    def stamp(self) -> tuple[int, ...]:
        """Changes when a file with a secret does, as temporary credentials are renewed."""
        files = [getattr(self, name) for name in type(self).model_fields if name.endswith("_file")]
        return tuple(_changed(path) for path in files if path is not None)

    def config(self, scheme: str) -> dict[str, Any]:
        """What obstore calls these settings, secrets read; `SettingsError` where one can't be had."""
        config = {name: value for name, value in self._by_scheme(scheme).items() if value is not None}
        return config | {"skip_signature": True} if self.anonymous else config

    def _by_scheme(self, scheme: str) -> dict[str, Any]:
        if scheme == "s3":
            return {
                "endpoint": self.endpoint,
                "region": self.region or "us-east-1",
                "access_key_id": read_secret("access_key_id_file", self.access_key_id_file),
                "secret_access_key": read_secret("secret_access_key_file", self.secret_access_key_file),
                "session_token": read_secret("session_token_file", self.session_token_file),
                "checksum_algorithm": "SHA256",
            }
        if scheme == "gs":
            key = self.service_account_file
            return {"base_url": self.endpoint, "application_credentials": None if key is None else str(key)}
        return {
            "endpoint": self.endpoint,
            "account_name": self.account,
            "account_key": read_secret("account_key_file", self.account_key_file),
            "sas_key": read_secret("sas_token_file", self.sas_token_file),
        }

    def client_options(self) -> dict[str, Any]:
        """Timeouts, trust, and plain HTTP where the endpoint has it."""
        options: dict[str, Any] = dict(CLIENT_OPTIONS)
        if self.endpoint and self.endpoint.startswith("http:"):
            options["allow_http"] = True
        if self.ca_file is not None:
            try:
                options["root_certificate"] = self.ca_file.read_text()
            except OSError as error:
                raise SettingsError(f"ca_file {self.ca_file} can't be read: {error.strerror}") from None
        return options


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An object that there is; `size` in bytes, `e_tag` changes with its content."""

    url: str
    size: int
    e_tag: str | None


@dataclass(frozen=True, kw_only=True)
class ObjectStream:
    """The bytes of an object as they arrive; reading `chunks` raises as `ObjectStores` does."""

    size: int
    chunks: Iterator[Buffer]
    e_tag: str | None = None


class ObjectStores:
    """All stores that this process reaches: `settings` by prefix of the URL (`s3`, `s3://bucket`, `s3://bucket/part`),
    of which the longest that fits counts; without one, the cloud's own credentials of this machine are used.

    Methods raise `InvalidLocation` for a URL that names no object, `ObjectNotFound`, `ObjectStoreRefused` (it says no,
    and will go on to), `ObjectStoreFailure` (no answer, or none that helps) and `SettingsError`.
    """

    def __init__(self, settings: Mapping[str, StoreSettings]) -> None:
        self._settings = {_checked_prefix(prefix, one): one for prefix, one in settings.items()}
        self._opened: dict[tuple[str, str], tuple[tuple[int, ...], ObjectStore]] = {}
        self._lock = threading.Lock()

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The beginnings of all URLs for which there are settings, such as `s3://`."""
        return tuple(prefix if "://" in prefix else f"{prefix}://" for prefix in sorted(self._settings))

    def configured(self, url: str) -> bool:
        """Whether settings are there for this URL, so that no credentials of the machine's own would be sent."""
        return self._prefix(split_url(url)) is not None

    def is_for_inputs(self, url: str) -> bool:
        """Whether every run may read what is there by what this service has for it; False where that is no object."""
        with contextlib.suppress(InvalidLocation):
            settings = self._settings.get(self._prefix(split_url(url)) or "")
            return settings is not None and (settings.inputs or settings.anonymous)
        return False

    def can_sign(self, url: str) -> bool:
        """Whether there are credentials to sign a URL with."""
        settings = self._settings.get(self._prefix(split_url(url)) or "")
        return settings is not None and not settings.anonymous

    def check(self) -> None:
        """`SettingsError` for the first file with a secret that can't be used."""
        for prefix, settings in self._settings.items():
            try:
                settings.config(prefix.partition(":")[0])
            except SettingsError as error:
                raise SettingsError(f"[stores.{prefix!r}]: {error}") from None

    def put(self, url: str, content: Path | IO[bytes] | bytes) -> None:
        """Stores a file, or what an open one has from its position on, whole or not at all: in parts where there are
        many bytes, each checked by its SHA-256. Up to `PARTS_AT_ONCE` parts are in memory."""
        with self._object(url) as (store, key):
            store.put(key, content, chunk_size=part_size(_size(content)), max_concurrency=PARTS_AT_ONCE)

    def put_stream(self, url: str, chunks: Iterator[Buffer], size: int) -> None:
        """As `put`, of what comes from elsewhere; `size` is what is known of it, 0 for nothing. What `chunks` raises
        comes through, and nothing is stored then."""
        pieces = _Pieces()
        with self._object(url) as (store, key), ThreadPoolExecutor(1, "put") as pool:
            # In a thread of its own: obstore asks for pieces where nothing else of obstore may be read.
            putting = pool.submit(store.put, key, pieces, chunk_size=part_size(size), max_concurrency=PARTS_AT_ONCE)
            try:
                for chunk in chunks:
                    if not pieces.add(chunk, putting):
                        break
                pieces.add(None, putting)
            except BaseException as error:
                pieces.add(error, putting)
                raise
            putting.result()

    def open(self, url: str, *, unless: str = "") -> ObjectStream:
        """Begins to read an object; `ObjectUnchanged` where its tag is `unless`."""
        with self._object(url) as (store, key):
            result = store.get(key, options={"if_none_match": unless} if unless else None)
            chunks = self._chunks(url, iter(result.stream(PART)))
            return ObjectStream(size=result.meta["size"], chunks=chunks, e_tag=result.meta["e_tag"])

    def head(self, url: str) -> StoredObject:
        """What is known of an object without reading it."""
        with self._object(url) as (store, key):
            meta = store.head(key)
            return StoredObject(url=url, size=meta["size"], e_tag=meta["e_tag"])

    def list(self, url: str) -> Iterator[StoredObject]:
        """All objects below the "folder" `url`: those whose key begins with its key and a slash; none where there is
        no such folder."""
        folder = split_url(url)
        with self._object(url) as (store, key):
            for page in store.list(key or None, chunk_size=LISTED_AT_ONCE):
                for meta in page:
                    yield StoredObject(url=folder.root + meta["path"], size=meta["size"], e_tag=meta["e_tag"])

    def delete(self, url: str) -> None:
        """Removes an object; one that is not there is no error."""
        with contextlib.suppress(ObjectNotFound), self._object(url) as (store, key):
            store.delete(key)

    def delete_below(self, url: str) -> None:
        """Removes all that `list` tells of, many in a request."""
        with self._object(url) as (store, key):
            for page in store.list(key or None, chunk_size=LISTED_AT_ONCE):
                store.delete([meta["path"] for meta in page])

    def copy(self, source: str, target: str) -> None:
        """Copies an object inside of one bucket, so that no byte comes here."""
        with self._object(source) as (store, key):
            store.copy(key, split_url(target).key)

    def sign(self, url: str, seconds: float, method: Literal["GET", "PUT"] = "GET") -> str:
        """A URL by which whoever has it may do this for so long, without credentials."""
        from obstore import sign  # noqa: PLC0415

        with self._object(url) as (store, key):
            return sign(store, method, key, timedelta(seconds=seconds))  # type: ignore[arg-type]

    @contextlib.contextmanager
    def _object(self, url: str) -> "Iterator[tuple[ObjectStore, str]]":
        """The store and the key; what obstore raises meanwhile becomes an error of this service."""
        address = split_url(url)
        store = self._store(address)
        from obstore.exceptions import (  # noqa: PLC0415
            BaseError,
            NotModifiedError,
            PermissionDeniedError,
            UnauthenticatedError,
        )

        try:
            yield store, address.key
        except FileNotFoundError:
            raise ObjectNotFound(url) from None
        except NotModifiedError:
            raise ObjectUnchanged(url) from None
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise ObjectStoreRefused(address.root, _reason(error)) from None
        except BaseError as error:
            raise ObjectStoreFailure(address.root, _reason(error)) from None
        except ValueError as error:
            raise InvalidLocation(f"{url!r} names no object: {_reason(error)}") from None

    def _chunks(self, url: str, stream: Iterator[Buffer]) -> Iterator[Buffer]:
        with self._object(url):
            yield from stream

    def _store(self, address: "ObjectAddress") -> "ObjectStore":
        prefix = self._prefix(address) or ""
        settings = self._settings.get(prefix) or StoreSettings()
        with self._lock:
            stamp, store = self._opened.get((address.root, prefix), (None, None))
            if store is None or stamp != settings.stamp():
                stamp, store = settings.stamp(), _opened(address, settings)
                self._opened[address.root, prefix] = stamp, store
        return store

    def _prefix(self, address: "ObjectAddress") -> str | None:
        return max((one for one in self._settings if address.begins_with(one)), key=len, default=None)


class _Pieces:
    """What one thread adds is another one's to go through, a few of them at once: bytes, None at the end, or an error
    that ends it."""

    def __init__(self) -> None:
        self._pieces: Queue[Buffer | BaseException | None] = Queue(2)

    def add(self, piece: Buffer | BaseException | None, reader: "Future[Any]") -> bool:
        """Whether there is somebody to read it."""
        while not reader.done():
            try:
                self._pieces.put(piece, timeout=1)
            except Full:
                continue
            return True
        return False

    def __iter__(self) -> "Iterator[Buffer]":
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece


@dataclass(frozen=True, kw_only=True)
class ObjectAddress:
    """The parts of an object's URL; `key` has no slash at either end, and is empty for the bucket itself."""

    scheme: str
    bucket: str
    key: str

    @property
    def root(self) -> str:
        """The URL of the bucket, with a slash at its end."""
        return f"{self.scheme}://{self.bucket}/"

    def begins_with(self, prefix: str) -> bool:
        """Whether it lies below a prefix of `ObjectStores`."""
        return prefix == self.scheme or f"{self.root}{self.key}/".startswith(prefix.rstrip("/") + "/")


def split_url(url: str) -> ObjectAddress:
    """The parts of a URL of an object or a "folder"; `InvalidLocation` in words."""
    location = parse_location(url)
    if not isinstance(location, RemoteLocation) or location.scheme not in STORES:
        raise InvalidLocation(f"{url!r} is not the URL of an object ({', '.join(sorted(STORES))})")
    bucket, _, key = location.url.partition("://")[2].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise InvalidLocation(f"{bucket!r} is no name of a bucket")
    key = key.removesuffix("/")
    if any(part in {"", ".", ".."} for part in key.split("/")) and key:
        raise InvalidLocation(f"{url!r} names no object: a part of its key is empty, '.' or '..'")
    return ObjectAddress(scheme=location.scheme, bucket=bucket, key=key)


def part_size(size: int) -> int:
    """Bytes of a part of a file of `size` bytes, so that there are never more parts than a store takes."""
    return max(PART, -(-size // MOST_PARTS))


def _checked_prefix(prefix: str, settings: StoreSettings) -> str:
    found = _PREFIX.fullmatch(prefix)
    if found is None or found["scheme"] not in STORES:
        schemes = ", ".join(sorted(STORES))
        raise SettingsError(
            f"stores.{prefix!r}: a store is named by {schemes}, or by the beginning of a URL as s3://runs"
        )
    try:
        settings.check(found["scheme"])
    except SettingsError as error:
        raise SettingsError(f"stores.{prefix!r}: {error}") from None
    return prefix


def _opened(address: ObjectAddress, settings: StoreSettings) -> "ObjectStore":
    from obstore.store import AzureStore, GCSStore, S3Store  # noqa: PLC0415

    kind = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[address.scheme]
    retry = {"retry_timeout": timedelta(seconds=settings.retry_seconds)}
    return kind(  # type: ignore[no-any-return]
        address.bucket,
        client_options=settings.client_options(),
        retry_config=retry,
        **settings.config(address.scheme),
    )


def _size(content: Path | IO[bytes] | bytes) -> int:
    if isinstance(content, bytes):
        return len(content)
    return (content.stat() if isinstance(content, Path) else os.fstat(content.fileno())).st_size


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _reason(error: Exception) -> str:
    """What obstore says, without its debug output and without a server's own answer, which may repeat credentials."""
    first = str(error).split("\n\nDebug source")[0]
    return masked_text(re.sub(r"(?s)(: )?<\?xml.*", "", first).strip())
