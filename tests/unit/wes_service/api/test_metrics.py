import pytest

from wes_service.api.docs import tes_document, wes_document
from wes_service.api.monitoring import OTHER, Operations

OPERATIONS = Operations(wes_document().names())
WES = "/ga4gh/wes/v1"


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/service-info", "GetServiceInfo"),
        ("HEAD", "/service-info", "GetServiceInfo"),
        ("POST", "/runs", "RunWorkflow"),
        ("GET", "/runs/abc", "GetRunLog"),
        ("GET", "/runs/abc/status", "GetRunStatus"),
        ("GET", "/runs/abc/tasks/t/logs/stdout", "GetTaskStream"),
        ("GET", "/runs/abc/outputs", "ListOutputs"),
        ("GET", "/runs/abc/outputs/a", "GetOutput"),
        ("GET", "/runs/abc/outputs/a/b/c/d/e/f", "GetOutput"),
        ("POST", "/runs/abc", OTHER),
        ("GET", "/runs/abc/else", OTHER),
        ("GET", "", OTHER),
    ],
)
def test_a_request_is_named_after_its_operation(method: str, path: str, name: str) -> None:
    assert OPERATIONS.name(method, WES + path) == name


def test_both_documents_name_every_operation_once() -> None:
    for document in (wes_document(), tes_document()):
        names = list(document.names().values())
        assert len(names) == len(set(names)) == len(list(document.operations()))
