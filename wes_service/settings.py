"""The settings of the WES and its workers, read once from `WES_*` variables; nothing else reads the environment."""

import os
import re
from collections.abc import Container, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, unquote, urlsplit

import pydantic_settings
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from common.configuration import EMBEDDED, SHARED, Configuration, TesServer, read_configuration
from common.engine import RUN_ROOT
from common.errors import SettingsError
from common.hooks import HookSettings
from common.masking import bare_url
from common.object_store import StoreSettings
from common.settings import LOOPBACK, Paths, Span, Urls, default_data, items, overlap, read_secret
from common.smtp import SmtpSettings
from common.step_resources import CPU, DISK, MEMORY, StepLimit, StepLimits, time_limit
from tes.http import BY_SOCKET, socket_url, tes_address
from wes_service.core.links import TES_PATH

_USER = re.compile(r"(?P<before>[\w+]+://[^:/@?#]+)(?P<password>:[^@]*)?@")
NO_FILE = Path("-")


def _files(value: object) -> object:
    return (value,) if isinstance(value, Path) else items(value)


Files = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_files)]
ConfigFile = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


class EngineDefaults(BaseModel):
    """What a step of one engine gets where it asks for nothing: its image, and TES resources (cores, GB, GB)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str | None = None
    cpu_cores: int | None = Field(None, ge=1)
    ram_gb: float | None = Field(None, gt=0)
    disk_gb: float | None = Field(None, gt=0)

    def resources(self) -> dict[str, float]:
        """Those that are set, by their names in tesResources."""
        given = {"cpu_cores": self.cpu_cores, "ram_gb": self.ram_gb, "disk_gb": self.disk_gb}
        return {name: value for name, value in given.items() if value is not None}


class Settings(BaseSettings):
    """Every setting with its default; the name of the variable is `WES_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="WES_", frozen=True, extra="ignore")

    config: ConfigFile = Field(None, description="file with TES servers by name, wes.toml")
    data: Path = Field(default_factory=default_data, description="folder of database, runs and logs")
    engines: Path | None = Field(None, description="folder of installed engines (default: DATA of the user/engines)")
    maven_url: str = Field(
        "https://repo1.maven.org/maven2", description="base URL of the Maven repository that Nextflow is fetched from"
    )
    plugins_url: str = Field(
        "https://registry.nextflow.io/api",
        description="the registry that Nextflow's plugins are fetched from, or an index of them (…/plugins.json)",
    )
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str = Field("", description="base URL in absolute links, where a proxy hides the one of the request")
    token_file: Path | None = Field(None, description="file with the bearer token that every client must send")
    database_url: str = Field("", description="postgresql://USER@HOST/NAME (default: SQLite in the data folder)")
    database_password_file: Path | None = Field(None, description="file with the password for WES_DATABASE_URL")
    redis_url: str = Field("", description="redis:// or redis+socket:// URL (default: the one that 'wes up' starts)")
    tes_urls: Urls = Field(
        (), description="base URLs of the TES servers: http://funnel:8000/ga4gh/tes/v1, http+unix://%2Frun%2Ftes.sock/…"
    )
    tes_token_file: Files = Field(
        (), description="file with the bearer token for the TES; for several, a list in the order of WES_TES_URLS"
    )
    tes_backend_parameters: Urls = Field(
        (), description="names of backend_parameters that tasks may hand on to a TES (default: none)"
    )
    max_task_bytes: int = Field(16 * 1024**2, ge=1, description="largest task that an engine may send")
    max_tes_answer_bytes: int = Field(64 * 1024**2, ge=1, description="largest answer of a TES that is read")
    allow_data: Paths = Field((), description="folders whose files workflows may read in place, read-only")
    slots: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="runs at once per worker")
    owner_slots: int | None = Field(
        None, ge=1, description="runs of one owner at once, on all workers together (default: all slots)"
    )
    open_tasks: int | None = Field(
        None, ge=1, description="tasks of a worker that TES servers have at once (default: all)"
    )
    owner_open_tasks: int | None = Field(
        None, ge=1, description="tasks of one owner that TES servers have of a worker at once (default: all)"
    )
    sandbox_uid: int = Field(64321, ge=1, description="uid and gid of foreign code where the server is root")
    max_run_time: Span = Field(
        "", description="longest time of a run, from its first start: 90min, 12h, 2d (default: any)"
    )
    max_task_cpu: int | None = Field(None, ge=1, description="cores that steps get which ask for more (default: any)")
    max_task_memory_gb: float | None = Field(
        None, gt=0, description="memory, in GB, that steps get which ask for more (default: any)"
    )
    max_task_disk_gb: float | None = Field(
        None, gt=0, description="disk, in GB, that steps get which ask for more (default: any)"
    )
    max_task_time: Span = Field("", description="longest time that a task may run: 90min, 12h, 2d (default: any)")
    step_digests: bool = Field(
        True, description="note the contents that each step reads and leaves, by which a run can be resumed"
    )
    reuse: bool = Field(
        False, description="runs that do not say otherwise take steps that any run of their owner has done before"
    )
    engine_memory_gb: float = Field(
        8.0, gt=0, description="memory, in GB, that an engine's processes may have together"
    )
    engine_processes: int = Field(4096, ge=16, description="processes and threads that an engine may have")
    engine_network: Urls = Field(
        ("public",),
        description="what engines may reach: 'public' (addresses), 'none', or a list of hosts, *.domains and networks",
    )
    engine_log_gb: float = Field(1.0, gt=0, description="GB that an engine may write to its stdout, and to its stderr")
    run_disk_gb: float | None = Field(
        None, gt=0, description="GB that the work folder of a run may take (default: all)"
    )
    keep_work: Span = Field(
        "", description="how long work folders stay after a run's end; outputs and logs stay: 30d (default: for ever)"
    )
    unsandboxed: bool = Field(False, description="run engines without a sandbox where it does not work")
    default_image: str = Field("docker.io/library/python:3-slim", description="image of steps that name none")
    engine_defaults: dict[str, EngineDefaults] = Field(
        default_factory=dict,
        description='JSON, per engine what steps get that ask for nothing: {"cwltool": {"image": "…", "ram_gb": 2}}',
    )
    min_free_gb: float = Field(1.0, ge=0, description="free disk, in GB, below which no run is started")
    poll_seconds: float = Field(15.0, gt=0, description="longest time between two looks at the tasks on a TES")
    tes_patience_seconds: float = Field(600.0, gt=0, description="how long a TES may be unreachable")
    tes_forgotten_seconds: float = Field(
        180.0, gt=0, description="how long a TES must say that it has no such task before it is taken at its word"
    )
    tes_resubmissions: int = Field(2, ge=0, description="how often a task that its TES lost is sent again")
    lease_seconds: float = Field(15.0, ge=1, description="how long a worker may be silent before its runs are lost")
    max_attachment_bytes: int = Field(16 * 1024**3, ge=1)
    max_request_bytes: int = Field(64 * 1024**3, ge=1)
    max_attachments: int = Field(10_000, ge=1)
    max_field_bytes: int = Field(16 * 1024**2, ge=1, description="longest form field that is not an attachment")
    image_fallback: bool = Field(
        False, description="the embedded TES runs steps whose image can't be had with this machine's programs"
    )
    max_output_files: int = Field(100_000, ge=1, description="most files and folders among the outputs of a run")
    max_output_gb: float = Field(10_000, gt=0, description="most GB of outputs of a run, each byte of which is read")
    fetch_allow: Urls = Field(
        (), description="hosts and networks (CIDR) that are not public, but may be asked for workflows and inputs"
    )
    fetch_ca_file: Path | None = Field(
        None, description="file with the certificate authorities of hosts that workflows come from (default: certifi's)"
    )
    fetch_seconds: float = Field(300.0, gt=0, description="how long the fetch of one workflow may take")
    fetch_idle_seconds: float = Field(30.0, gt=0, description="how long a host may keep a fetch waiting")
    max_document_bytes: int = Field(16 * 1024**2, ge=1, description="largest document that is fetched from the web")
    max_workflow_bytes: int = Field(1024**3, ge=1, description="largest repository that is fetched")
    max_workflow_files: int = Field(20_000, ge=1, description="most files of a repository that is fetched")
    webhook_secret_file: Path | None = Field(
        None,
        description="file with the secret that signs what runs' own webhooks are sent (default: 'wes up' makes it)",
    )
    webhook_allow: Urls = Field(
        (), description="hosts and networks (CIDR) that are not public, but may have the webhook of a run"
    )
    metrics_port: int = Field(0, ge=0, le=65535, description="port of a worker's /metrics (0: it serves none)")
    metrics_host: str = Field("127.0.0.1", description="address of a worker's /metrics, which asks for no token")
    log_level: str = "INFO"
    cors_origins: Urls = ("*",)
    _configuration: Configuration = PrivateAttr(default_factory=Configuration)

    @property
    def engines_folder(self) -> Path:
        """`engines`, or the folder of engines in the user's data folder."""
        return self.engines or default_data() / "engines"

    @property
    def runs_folder(self) -> Path:
        """Where the folders of all runs lie."""
        return self.data / "runs"

    @property
    def database(self) -> str:
        """The URL with its password, so never to be shown; `SettingsError` where the password can't be had."""
        url = self.database_url or f"sqlite:///{self.data / 'wes.sqlite'}"
        password = read_secret("WES_DATABASE_PASSWORD_FILE", self.database_password_file)
        return url if password is None else with_password(url, password)

    @property
    def tes_servers(self) -> tuple[TesServer, ...]:
        """The TES servers of the configuration, then those of WES_TES_URLS by the names of their hosts."""
        files = [None if file == NO_FILE else file for file in self.tes_token_file] or [None] * len(self.tes_urls)
        servers = tuple(self._placed(server) for server in self._configuration.tes)
        for url, file in zip(self.tes_urls, files, strict=False):
            taken = {server.name for server in servers}
            servers = (*servers, TesServer(name=_host_name(url, taken), url=url, token_file=file))
        return servers

    def _placed(self, server: TesServer) -> TesServer:
        """The embedded one is where `wes up` starts it."""
        if server.url != EMBEDDED:
            return server
        url = socket_url(embedded_tes_socket(self.data), TES_PATH)
        return server.model_copy(
            update={"url": url, "token_file": embedded_tes_token_file(self.data), "is_embedded": True}
        )

    @property
    def step_limits(self) -> StepLimits:
        """The most that a step of any run gets."""
        settings = ((CPU, "max_task_cpu"), (MEMORY, "max_task_memory_gb"), (DISK, "max_task_disk_gb"))
        given = [(one, name, getattr(self, name)) for one, name in settings]
        amounts = {
            one.name: StepLimit(amount=amount, setting=f"WES_{name.upper()}")
            for one, name, amount in given
            if amount is not None
        }
        return {**amounts, **time_limit(self.max_task_time, "WES_MAX_TASK_TIME")}

    @property
    def storages(self) -> frozenset[str]:
        """Of the TES servers that share no folder with this service: the beginnings of URLs that each is given."""
        return frozenset(server.storage for server in self.tes_servers) - {SHARED}

    @property
    def stores(self) -> Mapping[str, StoreSettings]:
        """How object stores are reached, by the beginning of their URLs."""
        return self._configuration.stores

    @property
    def hooks(self) -> Mapping[str, HookSettings]:
        """Whom the configuration has told of every run's end, by name."""
        return self._configuration.hooks

    @property
    def smtp(self) -> SmtpSettings | None:
        """The mail server of hooks that are addresses."""
        return self._configuration.smtp

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        return self.host in LOOPBACK

    @field_validator("tes_urls")
    @classmethod
    def _urls_of_tes_servers(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            try:
                tes_address(url)
            except SettingsError as error:
                raise ValueError(str(error)) from None
        return urls

    @model_validator(mode="after")
    def _servers_of_the_file(self) -> "Settings":
        try:
            self._configuration = read_configuration(self.config) if self.config else Configuration()
            for server in self._configuration.tes:
                _check_url(server)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        named = {server.url.rstrip("/"): server for server in self._configuration.tes}
        for url in self.tes_urls:
            if (known := named.get(url.rstrip("/"))) is not None:
                message = f"WES_TES_URLS: {bare_url(url)} is {known.origin} already: leave it out here"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _a_token_for_each_tes(self) -> "Settings":
        urls, files = len(self.tes_urls), len(self.tes_token_file)
        if urls and files not in {0, urls}:
            message = (
                f"WES_TES_TOKEN_FILE names {files} and WES_TES_URLS {urls}, but a token goes to one TES only: name one "
                "file for each, in the same order and with commas between them, '-' for a TES that wants no token"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _data_folder_is_no_allowed_data(self) -> "Settings":
        for folder in self.allow_data:
            if overlap(folder, self.data):
                message = (
                    f"WES_ALLOW_DATA: {folder} can't be allowed to workflows, as the data folder of the service, "
                    f"{self.data}, is in it or holds it: name another folder, or another --data"
                )
                raise ValueError(message)
            if overlap(folder, RUN_ROOT):
                message = (
                    f"WES_ALLOW_DATA: {folder} can't be allowed to workflows, as each of them sees its own run at "
                    f"{RUN_ROOT}: give it another name, e.g. by a bind mount"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _token_where_reachable(self) -> "Settings":
        if not self.on_loopback and self.token_file is None:
            message = f"WES_TOKEN_FILE is needed, as {self.host} is not loopback: others could start runs"
            raise ValueError(message)
        return self


def embedded_tes_socket(data: Path) -> Path:
    """In a folder of its own, as what tasks run as may pass through that of the tasks."""
    return data.absolute() / "tes" / "socket" / "tes.sock"


def embedded_tes_token_file(data: Path) -> Path:
    """The token of the embedded TES, which `wes up` makes."""
    return data / "secrets" / "tes-token"


def _check_url(server: TesServer) -> None:
    if server.url == EMBEDDED:
        return
    try:
        tes_address(server.url)
    except SettingsError as error:
        raise SettingsError(f"url of {server.origin}: {error}") from None
    if server.oauth2_token_url is not None and urlsplit(server.url).scheme == BY_SOCKET:
        raise SettingsError(f"{server.origin}: a TES on a Unix socket takes no OAuth2 token, but a token_file")


def _host_name(url: str, taken: Container[str]) -> str:
    """The host, or the name of the socket, of a server that nobody named; with a number where that is taken."""
    parts = urlsplit(url)
    host = Path(unquote(parts.netloc)).stem if parts.scheme == BY_SOCKET else parts.hostname or ""
    plain = re.sub(r"[^A-Za-z0-9._:-]", "-", host).lstrip("._:-")[:50] or "tes"
    return next(name for name in chain([plain], (f"{plain}-{at}" for at in count(2))) if name not in taken)


class ClientSettings(BaseSettings):
    """What a client may be told by variables: the server's URL, and the file with the token for it."""

    model_config = SettingsConfigDict(env_prefix="WES_", frozen=True, extra="ignore", env_ignore_empty=True)

    server: str | None = None
    token_file: Path | None = None


def read_settings(**overrides: object) -> Settings:
    """The settings of this process, `overrides` (None: not given) before the environment; `SettingsError` in words."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        problems = [_problem(dict(item)) for item in error.errors()]
        raise SettingsError("; ".join(problems)) from None
    except pydantic_settings.SettingsError:
        raise SettingsError("WES_ENGINE_DEFAULTS: this is not JSON") from None


def _problem(item: dict[str, object]) -> str:
    location = item.get("loc")
    field = str(location[0]) if isinstance(location, tuple) and location else ""
    message = str(item.get("msg", "")).removeprefix("Value error, ")
    return f"WES_{field.upper()}: {message}" if field else message


def with_password(url: str, password: str) -> str:
    """The URL of a database server with a password, where it names a user and has none of its own."""
    user = _USER.match(url)
    if user is None or user["password"]:
        expected = "postgresql://USER@HOST/NAME, with a user and no password"
        raise SettingsError(f"WES_DATABASE_URL: beside WES_DATABASE_PASSWORD_FILE it must be {expected}")
    return f"{user['before']}:{quote(password, safe='')}@{url[user.end() :]}"


def has_password(url: str) -> bool:
    """Whether a URL holds a secret that others would see."""
    user = _USER.match(url)
    return bool((user and user["password"]) or re.search(r"[?&]password=", url))
