"""The operations of the TES API (TES 1.1.0) on the store of tasks."""

import uuid
from dataclasses import dataclass, replace

from common import __version__
from common.json_types import Json, JsonObject
from common.object_store import ObjectStores
from common.paging import Cursor, Page
from tes.task import TesTask, View, task_view
from tes_service.folder_access import AllowedFolders
from tes_service.runners.port import Runner
from tes_service.scheduler import TaskScheduler
from tes_service.settings import TesSettings
from tes_service.store import ACTIVE, StoredTask, TaskDatabase, TaskQuery
from tes_service.task_attempt import live_texts
from tes_service.task_log import TaskLog, log_from, now
from tes_service.task_request import BACKEND_PARAMETERS, task_request
from tes_service.url_checks import FETCHED, UrlChecks


def service_info(settings: TesSettings, runner: Runner, stores: ObjectStores) -> JsonObject:
    """Schema tesServiceInfo."""
    return {
        "id": "org.wes-tes.tes",
        "name": "WES-TES embedded TES",
        "type": {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"},
        "description": f"Runs tasks on this machine. Runner: {runner.name}; tasks are {runner.about}.",
        "organization": {"name": "WES-TES", "url": "https://github.com/wes-tes/wes-tes"},
        "environment": runner.name,
        "version": __version__,
        "storage": [*_folders(settings), *(f"{scheme}://" for scheme in sorted(FETCHED)), *stores.prefixes],
        "tesResources_backend_parameters": list(BACKEND_PARAMETERS),
    }


def _folders(settings: TesSettings) -> list[str]:
    return [folder.resolve().as_uri() for folder in (*settings.allow, *settings.allow_data)]


@dataclass(frozen=True, kw_only=True)
class TaskService:
    """The five operations, on a store and a scheduler."""

    store: TaskDatabase
    scheduler: TaskScheduler
    allowed: AllowedFolders
    stores: ObjectStores
    info: JsonObject

    def create(self, body: Json) -> str:
        """The new task's id; durable on return. `InvalidField`."""
        request = task_request(body)
        UrlChecks(access=self.allowed.of(request.tags), stores=self.stores).check(request)
        task_id = uuid.uuid4().hex
        self.store.add(task_id, now(), request, TaskLog(system=request.notes).document())
        self.scheduler.submit(task_id, request)
        return task_id

    def get(self, task_id: str, view: View) -> TesTask:
        """`NoSuchTask`."""
        if view is View.MINIMAL:
            # What a gateway asks for all the time: not worth reading the whole task.
            return {"id": task_id, "state": self.store.state(task_id).value}
        record = self.store.get(task_id)
        return task_view(self._live(record) if view is View.FULL else record.full(), view)

    def page(self, query: TaskQuery, size: int, after: Cursor | None, view: View) -> Page[TesTask]:
        """At most `size` tasks after the cursor, newest first (TES 1.1.0, ListTasks)."""
        found = self.store.page(query, size, after)
        items = [task_view(self._live(one) if view is View.FULL else one.full(), view) for one in found.items]
        return Page(items=items, next=found.next)

    def cancel(self, task_id: str) -> None:
        """Idempotent; `NoSuchTask`."""
        self.scheduler.cancel(task_id)

    def _live(self, record: StoredTask) -> TesTask:
        """The FULL view, with what a running executor has written so far: its own log has no place for that yet."""
        index = _running_executor(record)
        if index is None:
            return record.full()
        texts = live_texts(self.scheduler.folders(record.id).capture(index))
        record = self.store.get(record.id)
        if _running_executor(record) != index:
            return record.full()
        metadata = {**(record.log.get("metadata") or {}), **texts}
        return replace(record, log={**record.log, "metadata": metadata}).full()


def _running_executor(record: StoredTask) -> int | None:
    log = log_from(record.log)
    return len(log.executors) if record.state in ACTIVE and log.running_since is not None else None
