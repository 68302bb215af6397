"""The operations of TES 1.1.0, without HTTP."""

import uuid
from dataclasses import dataclass

from tes_service.attempt import live_texts
from tes_service.journal import TaskLog, now
from tes_service.parse import parse_task
from tes_service.places import Places, file_path
from tes_service.store import HELD, Filter, Record, Store
from tes_service.supervise import Supervisor
from tes_service.task import TaskRequest
from tes_service.views import View, shown
from wes_service.core.errors import InvalidField, InvalidRequest
from wes_service.core.json_types import Json, JsonObject
from wes_service.core.paging import Cursor, Page

FETCHED = ("http://", "https://")


@dataclass(frozen=True, kw_only=True)
class Service:
    store: Store
    supervisor: Supervisor
    places: Places
    info: JsonObject

    def create(self, body: Json) -> str:
        """The new task's id; durable on return. `InvalidField`."""
        request = parse_task(body)
        check_urls(request, self.places)
        task_id = uuid.uuid4().hex
        log = TaskLog(system=request.notes).document() if request.notes else {}
        self.store.add(task_id, now(), request, log)
        self.supervisor.submit(task_id, request)
        return task_id

    def get(self, task_id: str, view: View) -> JsonObject:
        """`NoSuchTask`."""
        record = self.store.get(task_id)
        return shown(self._live(record) if view is View.FULL else record.full(), view)

    def page(self, wanted: Filter, size: int, after: Cursor | None, view: View) -> Page[JsonObject]:
        found = self.store.page(wanted, size, after)
        items = [shown(self._live(one) if view is View.FULL else one.full(), view) for one in found.items]
        return Page(items=items, next=found.next)

    def cancel(self, task_id: str) -> None:
        """Idempotent; `NoSuchTask`."""
        self.supervisor.cancel(task_id)

    def _live(self, record: Record) -> JsonObject:
        """The FULL view, with what a running executor has written so far."""
        index = _running_executor(record)
        if index is None:
            return record.full()
        texts = live_texts(self.supervisor.folders(record.id).capture(index))
        record = self.store.get(record.id)
        if _running_executor(record) != index:
            return record.full()
        executors = record.log["logs"]
        assert isinstance(executors, list)  # noqa: S101 - as _running_executor has seen
        log = {**record.log, "logs": [*executors[:-1], {**executors[-1], **texts}]}
        return {**record.full(), "logs": [log]}


def _running_executor(record: Record) -> int | None:
    executors = record.log.get("logs")
    if record.state not in HELD or not isinstance(executors, list) or not executors:
        return None
    last = executors[-1]
    return None if not isinstance(last, dict) or "end_time" in last else len(executors) - 1


def check_urls(request: TaskRequest, places: Places) -> None:
    """Refuses what could never work: other kinds of storage, and files outside of the allowed folders."""
    for index, one in enumerate(request.inputs):
        if one.url is not None and not one.url.lower().startswith(FETCHED):
            _check(f"inputs[{index}].url", one.url, "read", places)
        elif one.url is not None and one.type == "DIRECTORY":
            raise InvalidField(f"inputs[{index}].type", "a DIRECTORY can't be fetched over http")
    for index, output in enumerate(request.outputs):
        _check(f"outputs[{index}].url", output.url, "write", places)


def _check(field: str, url: str, verb: str, places: Places) -> None:
    try:
        path = file_path(url)
    except InvalidRequest as error:
        raise InvalidField(field, str(error)) from None
    if path is None:
        raise InvalidField(field, f"this storage is not supported: {url.partition(':')[0]}")
    if not places.allows(path, write=verb == "write"):
        raise InvalidField(field, f"{path} is not inside a folder that this server may {verb}")
