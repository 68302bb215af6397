"""The port to what brings a workflow here that was not attached."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from common.json_types import Json
from wes_service.core.remote_workflow import RemoteWorkflow

SOURCE_FILE = "workflow-source.json"
"""Below a run's `logs`."""


@dataclass(frozen=True, kw_only=True)
class FetchOrder:
    """What to fetch for one run, and where to.

    `root`: the run's folder, whose `attachments` holds what was attached and gets what is fetched. `language`: CWL,
    SMK, NFL or WDL, which tells how a document's references are found.
    """

    workflow: RemoteWorkflow
    root: Path
    language: str


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """`name`: where the workflow document is below `attachments`. `source`: what is told of it, without secrets
    (extension field `workflow_source`). `lines`: for the run's system log."""

    name: str
    source: Mapping[str, Json] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


class WorkflowFetcher(Protocol):
    def fetch(self, order: FetchOrder, stopped: Callable[[], bool]) -> Fetched:
        """Puts the workflow, and what it refers to, among the attachments, owned by the foreign identity.

        What was attached stays as it is. `EngineError` where the URL is to blame, `SystemFailure` where a server or
        this service is, `FetchStopped` soon after `stopped` answers true. Where it fails nothing is left but in the
        run's folder.
        """
