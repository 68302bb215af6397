"""What a fetch is told: the workflow, its limits in time, bytes and files, and where it goes."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import EngineError, SystemFailure
from sandbox.identity import Identity
from wes_service.core.workflow import FetchOrder, RepositoryFile, WebDocument


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`allow`: names of hosts, and networks (CIDR), that may be private. `seconds`: for the whole fetch;
    `idle_seconds`: without any answer. `document_bytes`: one document of the web. `workflow_bytes`, `workflow_files`:
    all that belongs to one workflow."""

    allow: tuple[str, ...] = ()
    seconds: float = 300.0
    idle_seconds: float = 30.0
    document_bytes: int = 16 * 1024**2
    workflow_bytes: int = 1024**3
    workflow_files: int = 20_000

    @property
    def too_slow(self) -> str:
        return f"the workflow could not be fetched within {self.seconds:g} s (WES_FETCH_SECONDS): try again later"


@dataclass(kw_only=True)
class Budget:
    """What one fetch has left; each method raises once it is used up."""

    limits: Limits
    clock: Callable[[], float] = time.monotonic
    received: int = 0
    written: int = 0
    files: int = 0
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def seconds_left(self) -> float:
        return self._started + self.limits.seconds - self.clock()

    def check_time(self) -> None:
        if self.seconds_left <= 0:
            raise SystemFailure(self.limits.too_slow)

    def receive(self, count: int) -> None:
        """Bytes that came from the network, decompressed."""
        self.check_time()
        self.received += count
        self._check_bytes(self.received)

    def write(self, count: int) -> None:
        """One more file of this size."""
        self.check_time()
        self.files += 1
        self.written += count
        if self.files > self.limits.workflow_files:
            raise EngineError(f"the workflow has more than {self.limits.workflow_files} files (WES_MAX_WORKFLOW_FILES)")
        self._check_bytes(self.written)

    def _check_bytes(self, count: int) -> None:
        if count > self.limits.workflow_bytes:
            raise EngineError(
                f"the workflow, with all that belongs to it, is larger than {self.limits.workflow_bytes} bytes "
                "(WES_MAX_WORKFLOW_BYTES)"
            )


SCRATCH = ".fetch"
"""A folder in the run's, for as long as the fetch lasts."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """`ca_file`: certificate authorities in place of the usual ones."""

    order: FetchOrder
    limits: Limits
    identity: Identity
    ca_file: Path | None = None

    def as_json(self) -> str:
        workflow = self.order.workflow
        return json.dumps(
            {
                "kind": type(workflow).__name__,
                "workflow": vars(workflow),
                "root": str(self.order.root),
                "language": self.order.language,
                "limits": vars(self.limits),
                "identity": vars(self.identity),
                "ca_file": str(self.ca_file) if self.ca_file else None,
            }
        )


def job_of(text: str) -> Job:
    """The reverse of `Job.as_json`."""
    given: dict[str, Any] = json.loads(text)
    kind = {"WebDocument": WebDocument, "RepositoryFile": RepositoryFile}[given["kind"]]
    limits = {**given["limits"], "allow": tuple(given["limits"]["allow"])}
    return Job(
        order=FetchOrder(workflow=kind(**given["workflow"]), root=Path(given["root"]), language=given["language"]),
        limits=Limits(**limits),
        identity=Identity(**given["identity"]),
        ca_file=Path(given["ca_file"]) if given["ca_file"] else None,
    )
