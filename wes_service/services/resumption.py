"""From a POST /runs/{id}/resume to a stored run: the request of a run that has ended, with what is to be another."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol

from common.errors import RunNotResumable
from wes_service.core.ports import RunStore
from wes_service.core.run import TERMINAL, Owner, Run
from wes_service.services.submission import NewRequest, Staged_contra, Submitter, idempotency_key, run_request

RESUMED_FIELDS = frozenset({"workflow_params", "tags", "workflow_engine_parameters"})
"""What may be another than in the run that is resumed; attachments too."""
RESUMED_RUN = "resumed run"
"""In the digest of the request, where no field has such a name."""


class EarlierAttachments(Protocol[Staged_contra]):
    """The attachments of runs that have ended."""

    def inherit(self, staging: Staged_contra, run_id: str, names: Collection[str] | None) -> None:
        """Adds those that are not in `staging` yet: these `names`, or all with what was fetched."""


@dataclass(frozen=True, kw_only=True)
class Resumer(Generic[Staged_contra]):
    """Makes new runs of runs that have ended; what they have in common is not run again."""

    runs: RunStore
    submitter: Submitter[Staged_contra]
    attachments: EarlierAttachments[Staged_contra]

    def resume(
        self, owner: Owner, run_id: str, fields: Mapping[str, str], staged: Staged_contra, key: str | None
    ) -> str:
        """The id of the new run; with a key seen before, of the run of that time. `RunNotFound`, `RunNotResumable`,
        else as `Submitter.submit`."""
        parent = self.runs.get(owner, run_id)
        if parent.state not in TERMINAL:
            raise RunNotResumable(f"the run is {parent.state}: only one that has ended can be resumed; cancel it first")
        seen = idempotency_key(key, {**fields, RESUMED_RUN: run_id}, staged.digests)
        added = tuple(staged.digests)
        self.attachments.inherit(staged, run_id, None if parent.fetched_document else parent.attachments)
        names = tuple(dict.fromkeys([*parent.attachments, *added]))
        if gone := [name for name in names if name not in staged.digests]:
            raise RunNotResumable(f"the attachment {gone[0]!r} is not there any more: submit the run anew")
        new = NewRequest(
            request=run_request({**_fields(parent), **fields}),
            attachments=names,
            parent=run_id,
            fetched_document=parent.fetched_document,
            preferred_version=parent.engine_version,
        )
        return self.submitter.submit_request(owner, new, staged, seen)


def _fields(run: Run) -> dict[str, str]:
    """The form that was submitted."""
    document = run.request.as_json()
    return {
        name: value if isinstance(value, str) else json.dumps(value, default=dict) for name, value in document.items()
    }
