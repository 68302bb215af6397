"""From a POST /runs to a stored run: what was submitted is checked, named, and kept once per Idempotency-Key."""

import hashlib
import json
import math
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import structlog

from common.engine import Engine, RunFolder
from common.errors import DiskFull, InvalidField, InvalidRequest, RunNotFound, StoreUnavailable
from common.json_types import Json, check_depth
from common.step_resources import STEP_CHANGES
from wes_service.core.ports import Clock, IdempotencyKey, RunQueue, RunStore, WorkerInfo
from wes_service.core.run import Owner, Run, RunRequest, RunState
from wes_service.core.workflow import workflow_named
from wes_service.services.engine_choice import (
    EngineChoice,
    check_max_time,
    check_step_resources,
    check_tes,
    check_webhook,
    checked_parameters,
    choose_engine,
    installed_versions,
)

ID_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
ID_TIME_DIGITS = 10
ID_RANDOM_DIGITS = 16
REQUIRED_FIELDS = ("workflow_type", "workflow_type_version", "workflow_url")
FORM_FIELDS = frozenset(
    {
        *REQUIRED_FIELDS,
        "workflow_params",
        "tags",
        "workflow_engine",
        "workflow_engine_version",
        "workflow_engine_parameters",
    }
)
MAX_TAGS = 1000
"""Each of them can be searched for, so each is a row."""
MAX_TEXT_CHARACTERS = 4096
"""Characters of a field that is no JSON."""
LOG = structlog.get_logger(__name__)
WORKER_SEEN_SECONDS = 24 * 3600.0
"""An engine version that was there in this time is taken, as a worker that has it may be back before the run's turn."""
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def new_run_id(now: datetime) -> str:
    """26 characters of Crockford's base 32 in lower case: 48 bits of milliseconds, then 80 random ones."""
    return _digits(int(now.timestamp() * 1000), ID_TIME_DIGITS) + _digits(secrets.randbits(80), ID_RANDOM_DIGITS)


def _digits(number: int, count: int) -> str:
    return "".join(ID_DIGITS[(number >> (5 * place)) & 31] for place in reversed(range(count)))


def run_request(fields: Mapping[str, str]) -> RunRequest:
    """The request; `InvalidField` names the field (or all that are missing). Engine parameters become strings."""
    missing = [name for name in REQUIRED_FIELDS if not fields.get(name, "").strip()]
    if missing:
        raise InvalidField(
            ", ".join(missing), "needed, but missing" if len(missing) == 1 else "all needed, but missing"
        )
    engine, version = _optional(fields, "workflow_engine"), _optional(fields, "workflow_engine_version")
    if version is not None and engine is None:
        raise InvalidField("workflow_engine_version", "needs a workflow_engine beside it")
    return RunRequest(
        workflow_type=_text(fields, "workflow_type"),
        workflow_type_version=_text(fields, "workflow_type_version"),
        workflow_url=_text(fields, "workflow_url"),
        workflow_params=_json_object(fields, "workflow_params"),
        workflow_engine=engine,
        workflow_engine_version=version,
        workflow_engine_parameters=_scalars(_json_object(fields, "workflow_engine_parameters")),
        tags=_strings(_json_object(fields, "tags")),
    )


def _text(fields: Mapping[str, str], name: str) -> str:
    value = fields[name].strip()
    if len(value) > MAX_TEXT_CHARACTERS:
        raise InvalidField(name, f"longer than {MAX_TEXT_CHARACTERS} characters")
    if any(ord(character) < 32 for character in value):
        raise InvalidField(name, "holds a control character")
    return value


def _optional(fields: Mapping[str, str], name: str) -> str | None:
    return _text(fields, name) if fields.get(name, "").strip() else None


def _json_object(fields: Mapping[str, str], name: str) -> dict[str, Json]:
    text = fields.get(name, "")
    if not text.strip():
        return {}
    try:
        value: Any = json.loads(text, parse_constant=_no_json, parse_float=_finite)
        check_depth(value)
        if "\\u" in text:
            # An escape can write what UTF-8 and databases can't hold: half a character, or a NUL.
            _check_text(value)
    except (ValueError, RecursionError) as error:
        raise InvalidField(name, f"this is not JSON: {_json_problem(error)}") from None
    if not isinstance(value, dict):
        raise InvalidField(name, f"a JSON object is needed, not {_json_type(value)}")
    return value


def _check_text(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    text.encode()
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError("a string holds a NUL character")


def _no_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _json_problem(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a string holds half a character" if isinstance(error, UnicodeEncodeError) else str(error)


def _strings(tags: Mapping[str, Json]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise InvalidField("tags", f"there are {len(tags)} tags, and {MAX_TAGS} at most are possible")
    for key, value in tags.items():
        if not isinstance(value, str):
            raise InvalidField("tags", f"the value of {key!r} must be a string, not {_json_type(value)}")
    return {key: str(value) for key, value in tags.items()}


def _scalars(parameters: Mapping[str, Json]) -> dict[str, str]:
    return {key: _scalar(key, value) for key, value in parameters.items()}


def _scalar(key: str, value: Json) -> str:
    if key == STEP_CHANGES and isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InvalidField(
        "workflow_engine_parameters",
        f"the value of {key!r} must be a string, number or boolean, not {_json_type(value)}",
    )


def _json_type(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


class StagedAttachments(Protocol):
    """Attachments that have arrived: relative name to SHA-256 (hexadecimal), in the order in which they came."""

    digests: dict[str, str]


class CachedWorkers(Protocol):
    """The workers of the last `WORKER_SEEN_SECONDS`, as they were read a moment ago (`cachetools.cached`)."""

    def __call__(self) -> Sequence[WorkerInfo]: ...

    def cache_clear(self) -> None:
        """They are read anew next time."""


Staged_contra = TypeVar("Staged_contra", bound=StagedAttachments, contravariant=True)


class AttachmentFolders(Protocol[Staged_contra]):
    """Where attachments of runs lie."""

    def commit(self, staging: Staged_contra, run_id: str) -> RunFolder:
        """Makes them the attachments of a run, durable on return."""

    def discard(self, run_id: str) -> None:
        """Removes all of a run."""


@dataclass(frozen=True, kw_only=True)
class NewRequest:
    """What a run is made of. `attachments`: names of those that are the user's.

    Of a run that resumes another one, its `parent`: that one's id, the document that was fetched for it, and the engine
    version that ran it, which is taken again where it is there.
    """

    request: RunRequest
    attachments: tuple[str, ...]
    parent: str | None = None
    fetched_document: str | None = None
    preferred_version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Submitter(Generic[Staged_contra]):
    """Submits runs; every field of a refused one is named by `InvalidField`."""

    runs: RunStore
    workers: CachedWorkers
    queue: RunQueue
    clock: Clock
    folders: AttachmentFolders[Staged_contra]
    engines: Sequence[Engine]
    tes_choices: Collection[str] = ()
    """What a run may ask for as its TES; empty where this process does not know, but the workers do."""
    webhooks: bool = False
    """Whether a run may have one of its own."""
    max_run_time: str = ""
    """The longest time that a run may ask for, as `12h`; empty for any."""

    def submit(self, owner: Owner, fields: Mapping[str, str], staged: Staged_contra, key: str | None) -> str:
        """The id of the run; with a key seen before, of the run of that time. `IdempotencyConflict` as in `RunStore`.

        On an error nothing is left: no row, and no file once the staging folder is gone. Only where the database went
        away meanwhile, so that the run may be stored, its files stay until a worker removes what is of no run.
        """
        new = NewRequest(request=run_request(fields), attachments=tuple(staged.digests))
        return self.submit_request(owner, new, staged, idempotency_key(key, fields, staged.digests))

    def submit_request(self, owner: Owner, new: NewRequest, staged: Staged_contra, key: IdempotencyKey | None) -> str:
        """As `submit`, of a request that was read; all files that the run is to have are in `staged`."""
        request = new.request
        workflow_named(request.workflow_url, new.attachments)
        choice = self._choice(request)
        parameters = checked_parameters(choice.engine, request.workflow_engine_parameters)
        request = replace(request, workflow_engine_parameters=parameters)
        check_max_time(request, self.max_run_time)
        if self.tes_choices:
            check_tes(request, self.tes_choices)
        check_step_resources(request)
        check_webhook(request, offered=self.webhooks)
        run = self._run(owner, replace(new, request=request), choice)
        stored = self._store(run, staged, key)
        self.queue.wake(stored.id)
        LOG.info("run submitted", action="submit", run_id=stored.id, engine=run.engine, again=stored.id != run.id)
        return stored.id

    def _choice(self, request: RunRequest) -> EngineChoice:
        try:
            return choose_engine(request, self.engines, self.workers())
        except InvalidField:
            # What is missing may have been installed a moment ago.
            self.workers.cache_clear()
            return choose_engine(request, self.engines, self.workers())

    def _run(self, owner: Owner, new: NewRequest, choice: EngineChoice) -> Run:
        now = self.clock.now()
        there = installed_versions(self.workers()).get(choice.engine.name, ())
        preferred = new.preferred_version if new.preferred_version in there else None
        return Run(
            id=new_run_id(now),
            owner=owner,
            state=RunState.QUEUED,
            request=new.request,
            attachments=new.attachments,
            engine=choice.engine.name,
            engine_version=choice.version or preferred,
            created=now,
            fetched_document=new.fetched_document,
            parent=new.parent,
        )

    def _store(self, run: Run, staged: Staged_contra, key: IdempotencyKey | None) -> Run:
        # Files first: a worker may claim the run the moment its row is there.
        try:
            self.folders.commit(staged, run.id)
        except BaseException:
            self.folders.discard(run.id)
            raise
        stored = self._add(run, key)
        if stored.id != run.id:
            self.folders.discard(run.id)
        return stored

    def _add(self, run: Run, key: IdempotencyKey | None) -> Run:
        """The folder of a refused run goes; it stays where the run may be stored, for the sweep to remove if not."""
        try:
            return self.runs.add(run, key)
        except (InvalidRequest, DiskFull):
            self.folders.discard(run.id)
            raise
        except Exception as error:
            # The connection may have been lost after the database had got the COMMIT.
            stored = self._stored(run, error)
            if stored is None:
                raise
            LOG.warning("run stored after all", action="submit", run_id=run.id, problem=str(error))
            return stored

    def _stored(self, run: Run, error: Exception) -> Run | None:
        """Where the database answered both times it has no such run, and never will: then its folder goes."""
        try:
            return self.runs.get(run.owner, run.id)
        except RunNotFound:
            if not isinstance(error, StoreUnavailable):
                self.folders.discard(run.id)
        except Exception:  # noqa: BLE001 - the error of `add` is the one to tell
            return None
        return None


def idempotency_key(key: str | None, fields: Mapping[str, str], digests: Mapping[str, str]) -> IdempotencyKey | None:
    """The caller's key with a digest of all fields and attachments, in any order; None without a key."""
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidField("Idempotency-Key", "1 to 255 printable ASCII characters are needed")
    whole = json.dumps([sorted(fields.items()), sorted(digests.items())])
    return IdempotencyKey(key=key, digest=hashlib.sha256(whole.encode()).hexdigest())
