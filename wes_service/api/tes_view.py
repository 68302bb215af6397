"""This server's own TES, to read only: what `tes_uri` of a task log points to (TES 1.1.0)."""

from dataclasses import dataclass

import flask

from common.errors import InvalidField
from tes.task import TaskState, View
from wes_service.api.connexion_app import caller
from wes_service.api.contract import PARAMETER
from wes_service.api.replies import json_response
from wes_service.core.known_names import not_known
from wes_service.core.links import TES_PATH
from wes_service.services.service_info import ServiceInfo
from wes_service.services.tes_reader import PAGE_SIZE, TaskFilter, TesReader

OF_LISTS = frozenset({"name_prefix", "state", "tag_key", "tag_value", "page_size", "page_token"})
OF_TASKS = frozenset({"view"})


@dataclass(frozen=True, kw_only=True)
class TesHandlers:
    """The three routes that read; any other method is a 405."""

    reader: TesReader
    info: ServiceInfo

    def blueprint(self) -> flask.Blueprint:
        routes = flask.Blueprint("tes", __name__, url_prefix=TES_PATH)
        routes.add_url_rule("/service-info", "info", self.service_info)
        routes.add_url_rule("/tasks", "tasks", self.tasks)
        routes.add_url_rule("/tasks/<task_id>", "task", self.task)
        return routes

    def service_info(self) -> flask.Response:
        _check_names(frozenset())
        return json_response(self.info.tes_document(caller().links))

    def tasks(self) -> flask.Response:
        _check_names(OF_LISTS | OF_TASKS)
        wanted = TaskFilter(name_prefix=flask.request.args.get("name_prefix", ""), state=_state(), tags=_tags())
        token = flask.request.args.get("page_token", "")
        return json_response(self.reader.page(caller().owner, wanted, _page_size(), token, _view()))

    def task(self, task_id: str) -> flask.Response:
        _check_names(OF_TASKS)
        return json_response(self.reader.get(caller().owner, task_id, _view()))


def _check_names(known: frozenset[str]) -> None:
    for name in flask.request.args:
        if name not in known:
            raise not_known(PARAMETER, name, known)


def _view() -> View:
    name = flask.request.args.get("view", View.MINIMAL)
    if name not in set(View):
        raise InvalidField("view", f"one of {', '.join(View)} is possible, not {name!r}")
    return View(name)


def _state() -> str:
    name = flask.request.args.get("state", "")
    if name and name not in set(TaskState):
        raise InvalidField("state", f"{name!r} is not a state of TES 1.1")
    return name


def _tags() -> dict[str, str]:
    keys, values = flask.request.args.getlist("tag_key"), flask.request.args.getlist("tag_value")
    return dict(zip(keys, [*values, *[""] * len(keys)], strict=False))


def _page_size() -> int:
    text = flask.request.args.get("page_size", str(PAGE_SIZE))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidField("page_size", f"{text[:40]!r} is not a page size")
    return int(text)
