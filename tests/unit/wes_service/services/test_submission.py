""""""

import json
from datetime import UTC, datetime, timedelta

import pytest

from common.errors import InvalidField
from common.step_resources import StepChange
from tests.fakes.engines import CWLTOOL
from wes_service.core.run import RunRequest
from wes_service.services.engine_choice import (
    check_max_time,
    check_step_resources,
    check_tes,
    checked_parameters,
    engine_parameters,
)
from wes_service.services.submission import ID_DIGITS, idempotency_key, new_run_id, run_request

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


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, ""),
        ({"tags": '{"tes": "near"}'}, "near"),
        ({"workflow_engine_parameters": '{"tes": " far "}', "tags": '{"tes": "near"}'}, "far"),
        ({"workflow_engine_parameters": '{"tes": ""}'}, ""),
    ],
)
def test_a_run_asks_for_a_tes_by_a_parameter_or_a_tag(fields: dict[str, str], asked: str) -> None:
    assert run_request({**FORM, **fields}).tes == asked


@pytest.mark.parametrize("field", ["workflow_engine_parameters", "tags"])
def test_a_tes_that_is_not_there_is_refused_by_its_field(field: str) -> None:
    request = run_request({**FORM, field: '{"tes": "moon"}'})
    check_tes(request, ("near", "moon"))
    with pytest.raises(InvalidField, match="tes: there is no TES 'moon' here; there is near, site=a") as refused:
        check_tes(request, ("near", "site=a"))
    assert refused.value.field == field


def digest(fields: dict[str, str], digests: dict[str, str]) -> str:
    key = idempotency_key("k", fields, digests)
    assert key is not None
    return key.digest


def test_the_digest_takes_in_every_field_and_attachment_in_any_order() -> None:
    base = digest({"a": "1", "b": "2"}, {"x": "8", "y": "9"})
    assert digest({"b": "2", "a": "1"}, {"y": "9", "x": "8"}) == base
    others = [
        ({"a": "1"}, {"x": "8", "y": "9"}),
        ({"a": "1", "b": "2"}, {"x": "9", "y": "8"}),
        ({"a": "1", "b": "2"}, {}),
    ]
    assert base not in {digest(fields, digests) for fields, digests in others}


def test_fields_and_attachments_can_not_stand_in_for_one_another() -> None:
    assert digest({"a": "1"}, {}) != digest({}, {"a": "1"})


def test_without_a_key_there_is_no_digest() -> None:
    assert idempotency_key(None, {"a": "1"}, {}) is None


NOW = datetime(2025, 6, 7, 12, 0, 0, 123456, tzinfo=UTC)


def test_ids_sort_by_time_for_thousands_of_years() -> None:
    moments = [NOW + timedelta(milliseconds=1) * (2**power) for power in range(46)]
    ids = [new_run_id(moment) for moment in moments]
    assert ids == sorted(ids)


def test_ids_of_one_moment_differ_and_are_short_and_plain() -> None:
    ids = {new_run_id(NOW) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) == 26 and set(each) <= set(ID_DIGITS) for each in ids)


@pytest.mark.parametrize(
    ("parameter", "text", "problem"),
    [
        ("priority", "101", "must be at most 100"),
        ("priority", "-101", "must be at least -100"),
        ("priority", "high", "must be of type int"),
        ("max_time", "12", "is no span of time: write 90min, 12h or 2d"),
        ("max_time", "3h", "a run may take 2h here at most, not 3h"),
        ("max_cpu", "many", "max_cpu: 'many' is no amount of cpu: write 4, a whole number"),
        ("max_memory", "-1", "max_memory: '-1' is no amount of memory"),
        ("step_resources", "align.cpu=2", "step_resources: an object is needed"),
        ("step_resources", {"align": {"mem": "4GB"}}, "step_resources: align.mem: there is no such thing to change"),
    ],
)
def test_a_limit_that_can_not_be_is_refused_by_its_name(parameter: str, text: object, problem: str) -> None:
    request = run_request({**FORM, "workflow_engine_parameters": json.dumps({parameter: text})})
    with pytest.raises(InvalidField, match=problem):
        _check(request)


def _check(request: RunRequest) -> None:
    checked_parameters(CWLTOOL, request.workflow_engine_parameters)
    check_max_time(request, "2h")
    check_step_resources(request)


def test_changes_of_steps_may_be_an_object_or_its_text() -> None:
    for value in ({"align": {"cpu": 2}}, '{"align": {"cpu": 2}}'):
        form = {**FORM, "workflow_engine_parameters": json.dumps({"step_resources": value})}
        request = run_request(form)
        assert request.workflow_engine_parameters == {"step_resources": '{"align": {"cpu": 2}}'}
        assert request.step_changes == (StepChange(step="align", amounts={"cpu": 2}),)


def test_what_the_service_does_itself_is_not_for_the_engine() -> None:
    submitted = {"tes": "far", "priority": "5", "max_time": "1h", "max_cpu": "2", "parallel": "2"}
    assert engine_parameters(submitted) == {"parallel": "2"}
