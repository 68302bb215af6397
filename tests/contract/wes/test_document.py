"""The document has the shape of the standard: a copy of that shape is beside this file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.wes.document import load, resolved, wes_document

DATA = Path(__file__).parent / "data"
METHODS = ("get", "post", "put", "delete")
ADDED_PATHS = {
    "/runs/{run_id}/events",
    "/runs/{run_id}/resume",
    "/runs/{run_id}/events/stream",
    "/runs/{run_id}/logs/{stream}",
    "/runs/{run_id}/tasks/{task_id}/logs/{stream}",
    "/runs/{run_id}/outputs",
    "/runs/{run_id}/outputs/{path}",
    "/notifications",
    "/notifications/{notification_id}/redeliver",
}
ADDED_OPERATIONS = {("/runs/{run_id}", "delete")}
ADDED_SCHEMAS = {
    "Service",
    "ServiceType",
    "RunForm",
    "RunFormWithoutFiles",
    "ResumeForm",
    "ResumeFormWithoutFiles",
    "ReusedTask",
    "OutputListResponse",
    "Output",
    "Progress",
    "WorkflowSource",
    "EventListResponse",
    "Event",
    "Notification",
    "NotificationState",
    "NotificationListResponse",
}
ADDED_PROPERTIES = {"progress", "workflow_source", "resumed_from", "reused_from"}
ADDED_PARAMETERS = {
    ("/runs", "post"): {"header Idempotency-Key"},
    ("/runs", "get"): {f"query {name}" for name in ("state", "tag", "workflow_type", "since", "until", "search")},
}


def standard() -> dict[str, Any]:
    document = load(DATA / "wes-1.1.0.shape.yaml")
    whole = resolved(document, document, load(DATA / "service-info-1.0.0.shape.yaml"))
    assert isinstance(whole, dict)
    return whole


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for path, item in document["paths"].items():
        yield from ((path, method) for method in item if method in METHODS)


STANDARD = standard()


def bare(node: Any) -> Any:
    """A schema without words for people, and with lists whose order means nothing sorted."""
    if isinstance(node, list):
        return [bare(item) for item in node]
    if not isinstance(node, dict):
        return node
    words = {"description", "example"}
    kept = {key: bare(value) for key, value in node.items() if not (key in words and isinstance(value, str))}
    if isinstance(kept.get("properties"), dict):
        kept["properties"] = {name: kept["properties"][name] for name in kept["properties"].keys() - ADDED_PROPERTIES}
    for key in ("required", "enum"):
        if isinstance(kept.get(key), list):
            kept[key] = sorted(kept[key])
    return kept


def parameters(operation: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{item['in']} {item['name']}": (bool(item.get("required")), bare(item["schema"]))
        for item in operation.get("parameters", [])
    }


def test_the_paths_are_those_of_the_standard_and_the_documented_additions() -> None:
    assert set(wes_document()["paths"]) == set(STANDARD["paths"]) | ADDED_PATHS


def test_the_operations_are_those_of_the_standard_and_the_documented_additions() -> None:
    ours = {(path, method) for path, method in operations(wes_document()) if path not in ADDED_PATHS}
    assert ours == set(operations(STANDARD)) | ADDED_OPERATIONS


@pytest.mark.parametrize("schema", sorted(STANDARD["components"]["schemas"]))
def test_a_schema_is_that_of_the_standard(schema: str) -> None:
    ours = wes_document()["components"]["schemas"][schema]
    assert bare(ours) == bare(STANDARD["components"]["schemas"][schema])


def test_no_other_schema_is_there_than_the_additions() -> None:
    assert set(wes_document()["components"]["schemas"]) == set(STANDARD["components"]["schemas"]) | ADDED_SCHEMAS


@pytest.mark.parametrize(("path", "method"), list(operations(STANDARD)))
def test_an_operation_is_that_of_the_standard(path: str, method: str) -> None:
    theirs, ours = STANDARD["paths"][path][method], wes_document()["paths"][path][method]
    assert ours["operationId"] == theirs["operationId"]
    added = ADDED_PARAMETERS.get((path, method), set())
    assert {name: one for name, one in parameters(ours).items() if name not in added} == parameters(theirs)
    assert {name for name, (required, _) in parameters(ours).items() if not required} >= added


@pytest.mark.parametrize(("path", "method"), list(operations(STANDARD)))
def test_the_answers_of_an_operation_are_those_of_the_standard(path: str, method: str) -> None:
    theirs, ours = STANDARD["paths"][path][method]["responses"], wes_document()["paths"][path][method]["responses"]
    for status, answer in theirs.items():
        assert bare(ours[str(status)]["content"]) == bare(answer["content"])
    error = STANDARD["components"]["schemas"]["ErrorResponse"]
    for status in set(ours) - {str(status) for status in theirs}:
        assert bare(ours[status]["content"]) == {"application/json": {"schema": bare(error)}}


def test_the_form_has_the_fields_of_the_standard_in_both_kinds() -> None:
    theirs = STANDARD["paths"]["/runs"]["post"]["requestBody"]
    ours = wes_document()["paths"]["/runs"]["post"]["requestBody"]
    fields = bare(theirs["content"]["multipart/form-data"]["schema"])["properties"]
    assert ours["required"] == theirs["required"]
    assert bare(ours["content"]["multipart/form-data"]["schema"])["properties"] == fields
    plain = {name: schema for name, schema in fields.items() if name != "workflow_attachment"}
    assert bare(ours["content"]["application/x-www-form-urlencoded"]["schema"])["properties"] == plain
