"""What an engine is to the rest: data in, data out. Nothing here starts a process (design, decision 13)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from common.json_types import Json, JsonObject

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where every engine finds the programs of the machine."""


@dataclass(frozen=True, kw_only=True)
class EngineParameter:
    """One entry of an engine's allow-list (WES 1.1.0, DefaultWorkflowEngineParameter).

    `type` is `int`, `float`, `boolean` or `string`; `default` is the text that stands for it where none is submitted.
    """

    name: str
    type: Literal["int", "float", "boolean", "string"]
    default: str
    description: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,63}")


def is_safe_id(text: str) -> bool:
    """Whether it can be the id of a run or a task, and so the name of one folder."""
    return _SAFE_ID.fullmatch(text) is not None


RUN_ROOT = Path("/wes/run")
"""Where an engine in a sandbox, and every task of it, sees the folder of its run (design, decision 14)."""


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """The folders of one run on this machine; `seen_root` is where its engine and tasks see `root`, if elsewhere.

    `attachments`: what was submitted (read-only for the engine). `work`: the only folder an engine or a task writes to,
    and where the engine starts. `control`: the engine's settings and its gateway token (read-only for the engine).
    `logs`: stdout and stderr of engine and tasks, `transfers`: what is on its way from a store (neither is visible to
    the engine).
    """

    root: Path
    seen_root: Path | None = None

    @property
    def seen(self) -> "RunFolder":
        """The same folders under the paths that the engine and its tasks know."""
        return RunFolder(root=self.seen_root or self.root)

    @property
    def attachments(self) -> Path:
        """What was submitted."""
        return self.root / "attachments"

    @property
    def work(self) -> Path:
        """Where the engine starts, and writes."""
        return self.root / "work"

    @property
    def control(self) -> Path:
        """What the engine is started with."""
        return self.root / "control"

    @property
    def logs(self) -> Path:
        """What is printed by the engine, and in `tasks` by its tasks."""
        return self.root / "logs"

    @property
    def transfers(self) -> Path:
        """Files that are not complete yet, and what is known of those that stayed in a store."""
        return self.root / "transfers"

    @property
    def fetched(self) -> Path:
        """Inputs of tasks that came from elsewhere, for a TES that can't read them there. No engine sees them."""
        return self.root / "fetched"

    def task_logs(self, task_id: str) -> Path:
        """The folder of one task's stdout and stderr."""
        return self.logs / "tasks" / task_id


@dataclass(frozen=True, kw_only=True)
class Installation:
    """An installed engine: its version and its own environment folder (for a Python engine a virtual environment).

    `readable`: further folders that the engine's processes must see, e.g. of its interpreter.
    """

    engine: str
    version: str
    environment: Path
    readable: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EngineJob:
    """All that an adapter needs to say how one run is launched. Paths are those that the engine sees, but in `folder`.

    `workflow`: the workflow document, an absolute path, `fragment` what followed `#` in `workflow_url`, or None.
    `params`: `workflow_params` in which relative files that match attachments are `file://` URLs already.
    `parameters`: the checked engine parameters, defaults filled in. `tes_url`: base URL of the TES as the engine sees
    it (`…/ga4gh/tes/v1`). `token_file`: a file in `control` that holds the bearer token for it.
    `default_image`: the image for steps that name none. `allowed_data`: folders whose files may be read in place.
    `step_limits`: the most that the gateway lets a step have, cores, GB or seconds by the names of
    `common.step_resources`.
    """

    run_id: str
    folder: RunFolder
    installation: Installation
    workflow: Path
    fragment: str | None = None
    params: JsonObject = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    tes_url: str
    token_file: Path
    default_image: str
    allowed_data: tuple[Path, ...] = ()
    step_limits: Mapping[str, float] = field(default_factory=dict)

    def value_of(self, parameter: EngineParameter) -> str:
        """The text of an engine parameter, its default where none was submitted."""
        return self.parameters.get(parameter.name, parameter.default)


@dataclass(frozen=True, kw_only=True)
class EngineCommand:
    """How to start an engine: argv, its whole environment, files to write into `control` first (name to text)."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    stop_signal: Literal["SIGTERM", "SIGINT"] = "SIGTERM"


@dataclass(frozen=True, kw_only=True)
class EngineEnd:
    """How an engine's process ended: its exit code (negative: the signal) and the tail of its stderr."""

    exit_code: int
    stderr: str


class Engine(Protocol):
    """One workflow engine, as data and pure functions; one implementation per folder under `engines/`.

    It may be started again in the folder of a run whose worker was lost: then it sends each step with the key that it
    had (tag `wes.step_key`), and spoils nothing of what has ended or goes on. A step without a key runs again.
    """

    name: str
    """As in `workflow_engine`, e.g. `cwltool`."""
    aliases: tuple[str, ...]
    """Other names taken in `workflow_engine`, lower case, e.g. `cwl-tes`."""
    folder_name: str
    """As in `wes engines install NAME`, e.g. `cwl`."""
    workflow_type: str
    """E.g. `CWL`; matched in any case."""
    type_aliases: tuple[str, ...]
    type_versions: tuple[str, ...]
    """E.g. `("v1.0", "v1.1", "v1.2")`."""
    parameters: tuple[EngineParameter, ...]

    def command(self, job: EngineJob) -> EngineCommand:
        """How to start this run; raises `EngineError` where the request can't be run at all."""

    def outputs(self, folder: RunFolder) -> dict[str, Json]:
        """The output object that the engine left; files are CWL File objects whose `location` is a `file://` URL
        under `folder.seen.work` (or an input's own location). Raises `EngineError` where there is none."""

    def diagnose(self, folder: RunFolder, end: EngineEnd) -> str:
        """One sentence for a person on why an engine that ended like this failed, from its own message."""
