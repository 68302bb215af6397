"""Cromwell's workflow options, without miniwdl."""

import json
from pathlib import Path
from typing import Any

import pytest

from engines.wdl.executor.options import LARGEST, OptionsRejected, with_options
from engines.wdl.executor.settings import WdlSettings


def settings(folder: Path, text: str | None = None, **more: Any) -> WdlSettings:
    attachments = folder / "attachments"
    attachments.mkdir()
    if text is not None:
        (attachments / "options.json").write_text(text)
    given: dict[str, Any] = {
        "workflow": attachments / "main.wdl",
        "fragment": None,
        "params": {},
        "attachments": attachments,
        "work": folder / "work",
        "tes_url": "",
        "token_file": folder,
        "default_image": "",
        "parallel": 1,
        "readable": (),
        "max_retries": 0,
        "on_error": "stop",
        "check_quant": True,
        "options": "options.json",
    }
    return WdlSettings(**{**given, **more})


def test_runtime_attributes_and_the_failure_mode_are_taken_and_the_runs_own_parameters_win(tmp_path: Path) -> None:
    options = {
        "default_runtime_attributes": {"docker": "ubuntu", "continueOnReturnCode": [0, 1], "memory": "1 GB"},
        "workflow_failure_mode": "NoNewCalls",
    }
    changed, notes = with_options(settings(tmp_path, json.dumps(options), runtime_defaults={"memory": "2 GB"}))
    assert changed.runtime_defaults == {"docker": "ubuntu", "continueOnReturnCode": [0, 1], "memory": "2 GB"}
    assert (changed.on_error, notes) == ("finish", [])


def test_options_without_effect_are_told_with_what_has_it(tmp_path: Path) -> None:
    options = {
        "final_workflow_outputs_dir": "/data/out",
        "read_from_cache": True,
        "jes_gcs_root": "gs://bucket",
        "workflow_failure_mode": "ContinueWhilePossible",
    }
    changed, notes = with_options(settings(tmp_path, json.dumps(options)))
    assert changed.on_error == "finish"
    assert notes[0].startswith(
        "options.json: 'final_workflow_outputs_dir' has no effect here: outputs stay with the run"
    )
    assert "'read_from_cache' has no effect here: the engine parameter 'reuse'" in notes[1]
    assert notes[2].endswith("'jes_gcs_root' has no effect here: this engine knows no such option")
    assert "is 'NoNewCalls' here" in notes[3]
    assert len(notes) == 4
    assert "gs://bucket" not in "".join(notes)


def test_without_options_nothing_is_changed(tmp_path: Path) -> None:
    given = settings(tmp_path, options=None)
    assert with_options(given) == (given, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, r"the engine parameter 'options' is 'options.json', which is not among the attachments"),
        ("[]", r"options.json is not a JSON object"),
        ("{", r"options.json can't be read as JSON: Expecting"),
        ("[" * 100_000, r"options.json can't be read as JSON"),
        ('"' + "x" * LARGEST + '"', r"options.json can't be read as JSON"),
        ('{"default_runtime_attributes": 1}', r"'default_runtime_attributes' is not a JSON object"),
        ('{"workflow_failure_mode": "Perhaps"}', r"must be NoNewCalls or ContinueWhilePossible, not 'Perhaps'"),
    ],
)
def test_what_can_not_be_read_is_told(tmp_path: Path, text: str | None, expected: str) -> None:
    with pytest.raises(OptionsRejected, match=expected):
        with_options(settings(tmp_path, text))


def test_only_an_attachment_is_read(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "tes-token").write_text("{}")
    with pytest.raises(OptionsRejected, match="not among the attachments"):
        with_options(settings(tmp_path, options="../control/tes-token"))
