"""What a worker hands to the process that fetches. Apart from it, so that a worker loads none of what a fetch needs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.identity import Identity
from wes_service.core.workflow import FetchOrder, RepositoryFile, WebDocument
from wes_service.fetch.limits import Limits

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
