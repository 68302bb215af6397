"""The settings of the embedded TES, read once from `TES_*` variables (and the options of `wes tes`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariable

from common.configuration import read_configuration
from common.errors import SettingsError
from common.object_store import StoreSettings
from common.settings import LOOPBACK, Paths, Urls, default_data, overlap


class TesSettings(BaseSettings):
    """Every setting with its default; the name of the variable is `TES_` and the field's name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="TES_", frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    config: Path | None = Field(
        None,
        validation_alias=AliasChoices("TES_CONFIG", "WES_CONFIG"),
        description="wes.toml, of which [stores.*] is for tasks of this server",
    )

    data: Path = Field(default_factory=lambda: default_data() / "tes", description="folder of database and tasks")
    host: str = "127.0.0.1"
    port: int = Field(8090, ge=0, le=65535)
    uds: Path | None = Field(None, description="listen on this Unix socket instead (only its owner can connect)")
    token_file: Path | None = Field(None, description="file with the token that every client must send")
    allow: Paths = Field((), description="folders in which tasks may read file:// inputs and write file:// outputs")
    allow_data: Paths = Field((), description="folders in which tasks may read file:// inputs")
    runs: Path | None = Field(
        None, description="folder of a WES's runs: a task may use attachments and work of the run that its tags name"
    )
    programs: Paths = Field(
        (), description="folders of programs that tasks see besides the system's, without containers"
    )
    runner: Literal["auto", "docker", "podman", "bubblewrap", "process"] = "auto"
    image_fallback: bool = Field(
        False, description="with runner auto: run a task whose image can't be had with the programs of this machine"
    )
    unsandboxed: bool = Field(False, description="permit plain processes where no sandbox works")
    sandbox_uid: int = Field(64321, ge=1, description="uid and gid of tasks where the server is root")
    network: bool = Field(False, description="give containers a network")
    cpus: int | None = Field(None, ge=1, description="cores for tasks (default: all of this machine)")
    memory_gb: float | None = Field(None, gt=0, description="memory for tasks (default: all of this machine)")
    disk_gb: float | None = Field(None, gt=0, description="disk for tasks (default: what is free in the data folder)")
    processes: int = Field(4096, ge=16, description="processes and threads that a task may have")
    log_gb: float = Field(1.0, gt=0, description="GB that an executor may write to its stdout, and to its stderr")
    log_folder: str = Field("/wes-logs", description="streams with a path below this one are logs too, others are data")
    min_free_gb: float = Field(0.75, ge=0, description="free disk, in GB, below which the task that took most is ended")
    keep_days: float = Field(30.0, gt=0, description="how long finished tasks are remembered")
    max_task_bytes: int = Field(64 * 1024**2, ge=1, description="largest POST /tasks")
    max_input_bytes: int = Field(1024**4, ge=1, description="largest input that is fetched")
    cache_gb: float = Field(
        10.0, ge=0, description="disk for inputs from other servers, kept for later tasks; never above a quarter of it"
    )
    fetch_retries: int = Field(3, ge=0)
    fetch_seconds: float = Field(86_400.0, gt=0, description="how long the fetch of one input may take")
    fetch_allow: Urls = Field(
        (), description="hosts and networks (CIDR) that are not public, but may be asked for inputs"
    )
    stores: dict[str, StoreSettings] = Field(
        {}, description="object stores besides those of the configuration, in JSON, by the beginning of their URLs"
    )
    pull_seconds: float = Field(600.0, gt=0, description="longest time that an image may take to be pulled")
    registry_auth_file: Path | None = Field(
        None, description="credentials of image registries, in a file as docker login and podman login write it"
    )
    log_level: str = "info"

    def all_stores(self) -> Mapping[str, StoreSettings]:
        """Those of the configuration, and `stores` before them; `SettingsError` where it can't be read."""
        configured = read_configuration(self.config).stores if self.config else {}
        return {**configured, **self.stores}

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data / "tes.sqlite"

    @property
    def cache_folder(self) -> Path:
        """Inputs that are kept for later tasks."""
        return self.data.absolute() / "cache"

    @property
    def tasks_folder(self) -> Path:
        """Holds a folder for each task that runs."""
        return self.data.absolute() / "tasks"

    @model_validator(mode="after")
    def _token_where_reachable(self) -> "TesSettings":
        if self.uds is None and self.host not in LOOPBACK and self.token_file is None:
            message = f"TES_TOKEN_FILE is needed, as {self.host} is not loopback: others could run programs here"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _runs_by_their_tags_only(self) -> "TesSettings":
        kept = [("the tasks of this server", self.data)]
        kept += [("the runs, of which each task may use its own only", self.runs)] if self.runs else []
        for folder in (*self.allow, *self.allow_data):
            for what, path in kept:
                if overlap(folder, path):
                    message = f"the folder {folder} can't be allowed to tasks: {what} are in {path}"
                    raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _process_only_on_purpose(self) -> "TesSettings":
        if self.runner == "process" and not self.unsandboxed:
            message = "the process runner isolates nothing: set TES_UNSANDBOXED=1 as well to permit it"
            raise ValueError(message)
        return self


def read_settings(**overrides: object) -> TesSettings:
    """The settings of this process, `overrides` (None: not given) before the environment; `SettingsError` in words."""
    try:
        return TesSettings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        problems = error.errors(include_input=False)
        raise SettingsError("; ".join(_problem(item["loc"], item["msg"]) for item in problems)) from None
    except UnreadableVariable:
        raise SettingsError("TES_STORES: must be JSON, an object with one for each store") from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    sentence = message.removeprefix("Value error, ")
    return f"TES_{str(location[0]).upper()}: {_member(location[1:])}{sentence}" if location else sentence


def _member(location: tuple[int | str, ...]) -> str:
    """Which one of a store, as its name may hold dots."""
    return " of ".join(str(part) for part in reversed(location)) + ": " if location else ""
