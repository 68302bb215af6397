import pytest

from common.errors import InvalidField
from wes_service.services.submission import run_request

FORM = {"workflow_type": " CWL ", "workflow_type_version": "v1.2", "workflow_url": "a.cwl"}


def test_blanks_around_a_field_are_dropped() -> None:
    assert run_request(FORM).workflow_type == "CWL"


@pytest.mark.parametrize("text", ['{"a": "\\u00e9"}', '{"a": "\\\\u0000"}', '{"a": "\\ud83d\\ude00"}', ' {"a": 1} '])
def test_escapes_that_write_text_are_json(text: str) -> None:
    assert "a" in run_request({**FORM, "workflow_params": text}).workflow_params


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "\\u0000"}',
        '{"a": "\\\\\\u0000"}',
        '{"\\u0000": 1}',
        '{"a": ["\\udc00"]}',
        '{"a": Infinity}',
        '{"a": -1e400}',
        "1" * 5000,
    ],
)
def test_what_a_database_or_another_reader_could_not_hold_is_refused(text: str) -> None:
    with pytest.raises(InvalidField) as refused:
        run_request({**FORM, "workflow_params": text})
    assert refused.value.field == "workflow_params"


def test_numbers_are_kept_exactly() -> None:
    params = run_request({**FORM, "workflow_params": '{"i": 12345678901234567890, "f": 0.1}'}).workflow_params
    assert params == {"i": 12345678901234567890, "f": 0.1}


def test_a_version_without_an_engine_is_refused() -> None:
    with pytest.raises(InvalidField, match="workflow_engine_version"):
        run_request({**FORM, "workflow_engine": " ", "workflow_engine_version": "1"})
