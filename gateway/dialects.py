"""What is special about each kind of TES server, as far as it matters here: how it takes tasks, and what its lists do.

Each fact is a test: against an exchange recorded from the real server where one runs here, else from its sources.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from common.configuration import TesKind
from common.location import file_path_of
from tes.task import TesInput, TesOutput, TesTask


class ListFilters(StrEnum):
    """By what GET /tasks is filtered (TES 1.1.0, ListTasks) where tasks are to be confirmed by lists."""

    TAG_AND_STATE = "tag and state"
    STATE = "state"
    """Tasks of others that the credentials show are listed, too."""
    NONE = "nothing"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one kind of server is spoken to; `words` puts a task in the form that it takes."""

    title: str
    words: Callable[[TesTask], TesTask]
    filters: ListFilters = ListFilters.TAG_AND_STATE


def _as_it_is(task: TesTask) -> TesTask:
    return task


def _with_plain_paths(task: TesTask) -> TesTask:
    """`file://` URLs with paths that are not percent-encoded (seen with 'a%20b.txt')."""
    translated = task.copy()
    if inputs := task.get("inputs"):
        translated["inputs"] = [_plain(item) for item in inputs]
    if outputs := task.get("outputs"):
        translated["outputs"] = [_plain(item) for item in outputs]
    return translated


def _plain(item: TesInput | TesOutput) -> Any:
    path = file_path_of(item.get("url") or "")
    return item if path is None else {**item, "url": f"file://{path}"}


NEW_IN_1_1: Mapping[str, tuple[str, ...]] = {
    "executors": ("ignore_error",),
    "inputs": ("streamable",),
    "outputs": ("path_prefix",),
}


def _without_new_fields(task: TesTask) -> TesTask:
    """Without those fields of TES 1.1 that say nothing; what one of them asks for can't be left out in silence."""
    translated: Any = {**task}
    for name, new in NEW_IN_1_1.items():
        if items := translated.get(name):
            translated[name] = [_without_empty(item, new) for item in items]
    translation: TesTask = translated
    return translation


def _without_empty(item: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if value or key not in names}


def _not_strict_about_nothing(task: TesTask) -> TesTask:
    resources = task.get("resources") or {}
    if resources.get("backend_parameters"):
        return task
    kept: Any = {key: value for key, value in resources.items() if key != "backend_parameters_strict"}
    return {**task, "resources": kept} if resources else task


GENERIC = Dialect(title="the standard", words=_as_it_is)
FUNNEL = Dialect(title="Funnel's dialect", words=_with_plain_paths, filters=ListFilters.STATE)
"""Paths in `file://` URLs are taken as they are. A list that is filtered by tags shows whole tasks in every view, which
would be megabytes a second for ten thousand of them. A MINIMAL task has all keys, empty."""
TESK = Dialect(title="TESK's dialect", words=_without_new_fields, filters=ListFilters.NONE)
"""TES 1.0: unknown fields are a 400, nothing is filtered, and each list reads all jobs and pods of the namespace."""
AZURE = Dialect(title="the standard, as TES on Azure has it", words=_as_it_is)
"""Filters work. A cancelled task is CANCELED at once; cancelling one that has ended is a 200."""
POIESIS = Dialect(title="poiesis's dialect", words=_not_strict_about_nothing)
"""`backend_parameters_strict` is a 400 whatever the parameters. Lists are oldest first, leave out one task between two
pages, and find no tag with a dot in its name."""

DIALECTS: Mapping[TesKind, Dialect] = {
    "funnel": FUNNEL,
    "tesk": TESK,
    "azure": AZURE,
    "poiesis": POIESIS,
    "generic": GENERIC,
}


def dialect_of(service_info: Mapping[str, Any]) -> Dialect:
    """By what the server calls itself in GET /service-info; TES on Azure has no name of its own."""
    called = f"{service_info.get('id') or ''} {service_info.get('name') or ''}".lower()
    kinds: tuple[TesKind, ...] = ("funnel", "tesk", "poiesis")
    return next((DIALECTS[kind] for kind in kinds if kind in called), GENERIC)
