from pathlib import Path

import pytest

from wes_cli import cwl_runner
from wes_cli.bundle import Bundle, BundleRequest


@pytest.mark.parametrize("options", [[], ["--allow-outside"]])
def test_files_outside_of_the_workflows_folder_are_uploaded_only_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    asked: list[BundleRequest] = []

    def build_bundle(wanted: BundleRequest) -> Bundle:
        asked.append(wanted)
        raise KeyboardInterrupt

    monkeypatch.setattr(cwl_runner, "build_bundle", build_bundle)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["wes-cwl-runner", *options, str(tmp_path / "wf.cwl")])
    (tmp_path / "wf.cwl").write_text('{"cwlVersion": "v1.2", "class": "CommandLineTool", "inputs": {}}')
    with pytest.raises(SystemExit):
        cwl_runner.main()
    assert [wanted.allow_outside for wanted in asked] == [bool(options)]
