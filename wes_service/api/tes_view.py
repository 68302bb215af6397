"""This server's own TES, to read only: what `tes_uri` of a task log points to (TES 1.1.0)."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from common.errors import InvalidField
from tes.task import TaskState, View
from wes_service.api.middleware import caller_of
from wes_service.api.operations import Handler
from wes_service.api.responses import json_response
from wes_service.services.service_info import ServiceInfo
from wes_service.services.tes_reader import TASK_PAGE_SIZE, TaskFilter, TesReader


@dataclass(frozen=True, kw_only=True)
class TesHandlers:
    """One method per operation that reads; any other method is a 405."""

    reader: TesReader
    info: ServiceInfo

    def operations(self) -> dict[str, Handler]:
        """The handler of each operation of `docs.tes_document`, by operationId."""
        return {"GetServiceInfo": self.service_info, "ListTasks": self.tasks, "GetTask": self.task}

    def service_info(self, request: Request) -> Response:
        """TES 1.1, GetServiceInfo."""
        return json_response(self.info.tes_document(caller_of(request.scope).links))

    def tasks(
        self,
        request: Request,
        name_prefix: str = "",
        state: str = "",
        tag_key: Sequence[str] = (),
        tag_value: Sequence[str] = (),
        page_size: int = TASK_PAGE_SIZE,
        page_token: str = "",
        view: str = View.MINIMAL,
    ) -> Response:
        """TES 1.1, ListTasks; a tag without a value matches any value."""
        tags = dict(zip(tag_key, [*tag_value, *[""] * len(tag_key)], strict=False))
        filters = TaskFilter(name_prefix=name_prefix, state=_checked_state(state), tags=tags)
        owner = caller_of(request.scope).owner
        return json_response(self.reader.page(owner, filters, page_size, page_token, _checked_view(view)))

    def task(self, request: Request, id: str, view: str = View.MINIMAL) -> Response:  # noqa: A002 - the document's name
        """TES 1.1, GetTask."""
        return json_response(self.reader.get(caller_of(request.scope).owner, id, _checked_view(view)))


def _checked_view(name: str) -> View:
    if name not in set(View):
        raise InvalidField("view", f"one of {', '.join(View)} is possible, not {name!r}")
    return View(name)


def _checked_state(name: str) -> str:
    if name and name not in set(TaskState):
        raise InvalidField("state", f"{name!r} is not a state of TES 1.1")
    return name
