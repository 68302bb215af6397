"""The file `wes.toml`: TES servers by name, object stores and hooks, with their credentials, for all programs.

It holds no secret itself: each one lies in a file of its own, whose path is relative to this file.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from common.errors import InvalidLocation, SettingsError
from common.hooks import HOOK_NAME, HookSettings
from common.location import DRS, REMOTE, RemoteLocation, parse_location
from common.object_store import ObjectStores, StoreSettings, split_url
from common.settings import PathInFile, read_secret
from common.smtp import SmtpSettings

SHARED = "shared"
EMBEDDED = "embedded"
TesKind = Literal["auto", "funnel", "tesk", "azure", "poiesis", "generic"]
CREDENTIALS: Mapping[str, Sequence[str]] = {
    "a bearer token": ("token_file",),
    "a user name and password": ("username", "password_file"),
    "an API key": ("api_key_file",),
    "OAuth2 client credentials": ("oauth2_token_url", "oauth2_client_id", "oauth2_client_secret_file"),
}
"""Each way to be known to a TES, and the keys that it needs together."""
OWN_KEYS = frozenset({"name", "file", "is_embedded"})
"""Of a server, that no table may hold."""
SECRET_KEYS = ("token_file", "password_file", "api_key_file", "oauth2_client_secret_file")


class TesServer(BaseModel):
    """A TES as it is configured: a `[tes.NAME]` table, or one of the URLs of WES_TES_URLS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$")
    url: str
    """`embedded` stands for the TES that `wes up` starts itself."""
    kind: TesKind = "auto"
    """Which server it is; `auto` takes service-info's word for it."""
    storage: str = SHARED
    """`shared`: it sees the data folder under the same path; else the URL of a folder in an object store that it and
    this service reach, without a slash at its end."""
    data: dict[Path, str] = Field(default_factory=dict)
    """Folders of --allow-data, by their absolute paths, and the URLs below which the TES reads the same files."""
    token_file: PathInFile | None = None
    username: str | None = Field(None, min_length=1, pattern=r"^[^:\x00-\x1f]*$")
    password_file: PathInFile | None = None
    api_key_file: PathInFile | None = None
    api_key_header: str = Field("X-API-Key", pattern=r"^[A-Za-z0-9-]{1,100}$")
    oauth2_token_url: str | None = Field(None, pattern=r"^https?://[^@\s]+$")
    oauth2_client_id: str | None = Field(None, min_length=1)
    oauth2_client_secret_file: PathInFile | None = None
    oauth2_scope: str | None = None
    """Scopes, with blanks between them."""
    ca_file: PathInFile | None = None
    """Certificate authorities for this server and its token server, in the place of certifi's."""
    max_cpu: float | None = Field(None, gt=0)
    """Cores that one task may ask for; of what has no limit, a server has as much as anybody asks."""
    max_ram_gb: float | None = Field(None, gt=0)
    max_disk_gb: float | None = Field(None, gt=0)
    max_gpu: int | None = Field(None, ge=0)
    """Where any server says how many it has, those that do not have none."""
    max_tasks: int | None = Field(None, ge=1)
    """How many a worker may have there at once."""
    holds: tuple[str, ...] = ()
    """Data that are there: folders, and beginnings of URLs. A task that reads any of them goes to a server that holds
    it, and nowhere else."""
    reads: tuple[str, ...] | None = None
    """Kinds of URLs that it reads, as `https` and `s3`; None where that is not said, and every one is sent to it, but
    for `drs`, which no TES is known to read."""
    labels: dict[str, str] = Field(default_factory=dict)
    """A run may ask for a server by one of them, as `site=hospital`."""
    cost: float = Field(0.0, ge=0, allow_inf_nan=False)
    """What a task costs there, in any unit: of servers that can have a task, the cheapest gets it."""
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Its share of the tasks among servers of one cost."""
    file: Path | None = Field(None, exclude=True)
    """The `wes.toml` that it is from; None for one of WES_TES_URLS."""
    is_embedded: bool = Field(False, exclude=True)
    """Whether `wes up` starts it; `url` is then where it will be."""

    @property
    def origin(self) -> str:
        """Where the operator finds it, for messages."""
        return "WES_TES_URLS" if self.file is None else f"[tes.{self.name}] of {self.file}"

    @property
    def choices(self) -> tuple[str, ...]:
        """What a run may ask for to come here."""
        return (self.name, *(f"{key}={value}" for key, value in self.labels.items()))

    def can_read(self, kind: str) -> bool:
        """Whether a task may name a URL of this kind there."""
        return kind in self.reads if self.reads is not None else kind != DRS

    def secret(self, key: str) -> str:
        """What the file of this key holds; `SettingsError` where it can't be read, is empty or readable by others."""
        what = "the token file (WES_TES_TOKEN_FILE)" if self.file is None else f"{key} of {self.origin}:"
        found = read_secret(what, getattr(self, key))
        if found is None:
            raise SettingsError(f"{what} is not set")
        return found

    def check_secrets(self) -> None:
        """`SettingsError` for the first file with a secret that can't be used."""
        for key in SECRET_KEYS:
            if getattr(self, key) is not None:
                self.secret(key)

    @field_validator("url")
    @classmethod
    def _url_without_credentials(cls, url: str, info: ValidationInfo) -> str:
        if info.context and "@" in urlsplit(url).netloc:
            message = "a URL must hold no credentials: name username, and password_file with the password in it"
            raise ValueError(message)
        return url

    @field_validator("storage")
    @classmethod
    def _shared_or_a_store(cls, storage: str) -> str:
        if storage == SHARED:
            return storage
        try:
            split_url(storage)
        except InvalidLocation:
            message = (
                f'{storage!r} is neither "{SHARED}", a folder that this service and the TES see under the same path, '
                "nor the URL of a folder in an object store, as s3://BUCKET/FOLDER"
            )
            raise ValueError(message) from None
        return storage.rstrip("/")

    @field_validator("data")
    @classmethod
    def _folders_and_urls(cls, data: dict[Path, str]) -> dict[Path, str]:
        for folder, url in data.items():
            if not folder.is_absolute():
                message = f"{str(folder)!r} is no absolute path of a folder that --allow-data names"
                raise ValueError(message)
            try:
                remote = isinstance(parse_location(url), RemoteLocation)
            except InvalidLocation:
                remote = False
            if not remote:
                message = f"{url!r} is no URL below which the TES reads the files of {folder}, as s3://BUCKET/FOLDER"
                raise ValueError(message)
        return {folder: url.rstrip("/") for folder, url in data.items()}

    @field_validator("holds")
    @classmethod
    def _places_of_data(cls, places: tuple[str, ...]) -> tuple[str, ...]:
        for place in places:
            if not (place.startswith("/") or urlsplit(place).netloc):
                message = f'{place!r} is neither an absolute folder nor the beginning of a URL, as "s3://bucket/reads"'
                raise ValueError(message)
        return places

    @field_validator("reads")
    @classmethod
    def _kinds_of_urls(cls, kinds: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for kind in kinds or ():
            if kind not in REMOTE:
                message = f"{kind!r} is no kind of URL that a task may read: there are {', '.join(sorted(REMOTE))}"
                raise ValueError(message)
        return kinds

    @model_validator(mode="after")
    def _embedded_without_keys_of_its_own(self) -> "TesServer":
        if self.url != EMBEDDED:
            return self
        given = {key for keys in CREDENTIALS.values() for key in keys if getattr(self, key) is not None}
        given |= {"ca_file"} if self.ca_file is not None else set()
        given |= {"storage"} if self.storage != SHARED else set()
        if given:
            message = f"the embedded TES has its own credentials and sees the data folder: leave {min(given)} out"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _one_kind_of_credentials(self) -> "TesServer":
        given = {
            what: [key for key in keys if getattr(self, key) is not None]
            for what, keys in CREDENTIALS.items()
            if any(getattr(self, key) is not None for key in keys)
        }
        if len(given) > 1:
            message = f"one kind of credentials is enough, and here are {' and '.join(given)}: leave one out"
            raise ValueError(message)
        for what, keys in given.items():
            if missing := [key for key in CREDENTIALS[what] if key not in keys]:
                message = f"for {what} there must be {', '.join(missing)} beside {', '.join(keys)}"
                raise ValueError(message)
        return self


def tes_choices(servers: Iterable[TesServer]) -> tuple[str, ...]:
    """All that a run may ask for, each once."""
    return tuple(dict.fromkeys(choice for server in servers for choice in server.choices))


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What a `wes.toml` says, or nothing where there is none."""

    tes: tuple[TesServer, ...] = ()
    stores: Mapping[str, StoreSettings] = field(default_factory=dict)
    """By the beginning of the URLs that each is for."""
    hooks: Mapping[str, HookSettings] = field(default_factory=dict)
    """Whom this service tells of every run's end, by name."""
    smtp: SmtpSettings | None = None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tes: dict[str, TesServer] = Field(default_factory=dict)
    stores: dict[str, StoreSettings] = Field(default_factory=dict)
    hooks: dict[str, HookSettings] = Field(default_factory=dict)
    smtp: SmtpSettings | None = None

    @field_validator("hooks", mode="before")
    @classmethod
    def _names_of_hooks(cls, tables: Any) -> Any:
        for name in tables if isinstance(tables, dict) else ():
            if not HOOK_NAME.fullmatch(name):
                message = f"{name!r} is no name: it has up to 30 letters, digits, '_' and '-'"
                raise ValueError(message)
            if not isinstance(tables[name], dict):
                message = f"{name!r} stands outside of a hook's table: begin it with [hooks.NAME]"
                raise ValueError(message)  # noqa: TRY004 - pydantic takes no TypeError
        return tables

    @field_validator("tes", mode="before")
    @classmethod
    def _with_names(cls, tables: Any, info: ValidationInfo) -> Any:
        if not isinstance(tables, dict):
            return tables
        for key, table in tables.items():
            if not isinstance(table, dict):
                message = f"{key!r} stands outside of a server's table: begin it with [tes.NAME]"
                raise ValueError(message)  # noqa: TRY004 - pydantic takes no TypeError
            if reserved := table.keys() & OWN_KEYS:
                message = f"{key}.{reserved.pop()}: there is no such key"
                raise ValueError(message)
        return {name: {**table, "name": name, "file": (info.context or {})["file"]} for name, table in tables.items()}

    @field_validator("tes")
    @classmethod
    def _each_url_once(cls, servers: dict[str, TesServer]) -> dict[str, TesServer]:
        """A task is found again by the URL of its TES."""
        names: dict[str, str] = {}
        for server in servers.values():
            other = names.setdefault(server.url.rstrip("/"), server.name)
            if other != server.name:
                message = f"{other} and {server.name} are the same server, {server.url}: give it one name"
                raise ValueError(message)
        return servers

    @model_validator(mode="after")
    def _a_mail_server_for_each_address(self) -> "_Document":
        for name, hook in self.hooks.items():
            if hook.address is not None and self.smtp is None:
                message = f"hooks.{name}.url: nothing says how mail is sent: add a table [smtp] with host and sender"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _a_store_for_each_storage(self) -> "_Document":
        try:
            stores = ObjectStores(self.stores)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        for server in self.tes.values():
            if server.storage != SHARED and not stores.configured(server.storage):
                scheme = server.storage.partition(":")[0]
                message = (
                    f"tes.{server.name}.storage: nothing says how {server.storage} is reached: add a table "
                    f"[stores.{scheme}] with its endpoint and keys"
                )
                raise ValueError(message)
        return self


def read_configuration(file: Path) -> Configuration:
    """What the file says; `SettingsError` with file and key for what is wrong, and for keys that nothing knows."""
    file = file.absolute()
    try:
        tables = tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingsError(f"the configuration {file} can't be read: {error.strerror}") from None
    except ValueError as error:
        # tomllib's own errors tell line and column.
        raise SettingsError(f"{file} is not TOML: {error}") from None
    try:
        document = _Document.model_validate(tables, context={"folder": file.parent, "file": file})
    except ValidationError as error:
        problems = [_problem(item["loc"], item["type"], item["msg"]) for item in error.errors(include_input=False)]
        raise SettingsError(f"{file}: {'; '.join(problems)}") from None
    return Configuration(
        tes=tuple(document.tes.values()), stores=document.stores, hooks=document.hooks, smtp=document.smtp
    )


def _problem(location: tuple[int | str, ...], kind: str, message: str) -> str:
    where = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return f"{where}: there is no such key{_similar(location)}"
    if not location:
        return message.removeprefix("Value error, ")
    if location[-1] == "name":
        return f"{where.removesuffix('.name')}: a name has up to 63 letters, digits, '.', '_' and '-'"
    return f"{where}: {message.removeprefix('Value error, ')}"


def _similar(location: tuple[int | str, ...]) -> str:
    tables = {
        "tes": TesServer.model_fields,
        "stores": StoreSettings.model_fields,
        "hooks": HookSettings.model_fields,
        "smtp": SmtpSettings.model_fields,
    }
    known = tables[str(location[0])] if len(location) > 1 else _Document.model_fields
    found = get_close_matches(str(location[-1]), known.keys() - OWN_KEYS, n=1)
    return f"; did you mean {found[0]}?" if found else ""
