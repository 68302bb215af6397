import json
from pathlib import Path

import pytest

from engines.cwl.executor.settings import CwlSettings

GIVEN: dict[str, object] = {
    "workflow": "/r/attachments/main.cwl",
    "fragment": None,
    "params": {"n": 1},
    "attachments": "/r/attachments",
    "work": "/r/work",
    "tes_url": "http://127.0.0.1:1/v1",
    "token_file": "/r/control/token",
    "default_image": "python:3-slim",
    "parallel": 4,
    "max_retries": 0,
    "on_error": "stop",
    "expression_timeout": 60,
    "max_cores": None,
    "max_ram": None,
}


def read(tmp_path: Path, document: dict[str, object]) -> CwlSettings:
    path = tmp_path / "cwl.json"
    path.write_text(json.dumps(document))
    return CwlSettings.read(path)


def test_settings_are_read_with_their_types(tmp_path: Path) -> None:
    settings = read(tmp_path, {**GIVEN, "of a later version": 1})
    assert settings.workflow == Path("/r/attachments/main.cwl")
    assert settings.params == {"n": 1}
    assert settings.parallel == 4
    assert settings.fragment is None


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="tes_url"):
        read(tmp_path, {name: value for name, value in GIVEN.items() if name != "tes_url"})


def test_all_that_is_written_lies_in_the_work_folder(tmp_path: Path) -> None:
    settings = read(tmp_path, {**GIVEN, "work": str(tmp_path / "work")})
    settings.make_folders()
    settings.make_folders()
    for path in (settings.scratch, settings.steps, settings.outputs, settings.failure, settings.output_object):
        assert path.is_relative_to(tmp_path / "work")
    assert list(settings.empty.iterdir()) == []


def test_what_a_tool_is_granted_is_what_it_asks_for_up_to_the_limits(tmp_path: Path) -> None:
    asked = {"coresMin": 16, "ramMin": 4000.5, "tmpdirMin": 10.2, "outdirMin": 20, "cudaDeviceCountMin": 1}
    free = {"cores": 16, "ram": 4001, "tmpdirSize": 11, "outdirSize": 20, "cudaDeviceCount": 1}
    assert read(tmp_path, GIVEN).granted(asked) == free
    limited = read(tmp_path, {**GIVEN, "max_cores": 4.0, "max_ram": 1907.0})
    assert limited.granted(asked) == {**free, "cores": 4, "ram": 1907}
