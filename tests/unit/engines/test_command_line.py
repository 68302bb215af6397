from pathlib import Path

from typer.testing import CliRunner

from engines.cwl.recipe import VERSION
from tests.unit.engines.test_registry import put
from wes_cli.engines import app, complete_name


def test_the_list_tells_what_is_installed_and_what_can_be(tmp_path: Path) -> None:
    nothing = CliRunner().invoke(app, ["list", "--engines", str(tmp_path)])
    assert nothing.exit_code == 0
    row = next(line.split() for line in nothing.output.splitlines() if line.startswith("cwl"))
    assert row == ["cwl", "cwltool", VERSION, "-"]
    put(tmp_path, "cwl", "0.1")
    listed = CliRunner().invoke(app, ["list", "--engines", str(tmp_path)])
    assert "0.1" in listed.output
    assert str(tmp_path)[:20] in listed.output


def test_an_unknown_engine_is_one_line_that_helps(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["install", "[make]", "--engines", str(tmp_path)])
    assert result.exit_code == 1
    assert "error: there is no engine '[make]'; there are: cwl" in result.output
    assert "Traceback" not in result.output


def test_the_version_of_ones_own_engine_is_its_own(tmp_path: Path) -> None:
    argv = ["install", "nextflow", "25.10.0", "--own", "/bin/nextflow", "--engines", str(tmp_path)]
    result = CliRunner().invoke(app, argv)
    assert result.exit_code == 1
    assert "with --own the version is the one of your own engine: leave it out" in result.output


def test_plugins_are_listed_with_their_engine_and_removed(tmp_path: Path) -> None:
    for name in ("nf-schema-2.5.1", "nf-schema-2.10.0"):
        (tmp_path / "nextflow" / "plugins" / name).mkdir(parents=True)
    where = ["--engines", str(tmp_path)]

    def listed() -> list[list[str]]:
        lines = CliRunner().invoke(app, ["list", *where]).output.splitlines()
        return [line.split()[1:4] for line in lines if " plugin " in line]

    assert listed() == [["plugin", "nf-schema", "2.10.0"], ["plugin", "nf-schema", "2.5.1"]]
    assert CliRunner().invoke(app, ["remove-plugin", "nextflow", "nf-schema@2.10.0", *where]).exit_code == 0
    assert listed() == [["plugin", "nf-schema", "2.5.1"]]
    for plugin, problem in (("nf-schema", "name the version"), ("nf-prov@1.0", "there is no plugin nf-prov@1.0")):
        refused = CliRunner().invoke(app, ["remove-plugin", "nextflow", plugin, *where])
        assert refused.exit_code == 1
        assert problem in refused.output


def test_plugins_are_of_engines_that_have_them_and_that_are_installed_from_here(tmp_path: Path) -> None:
    where = ["--engines", str(tmp_path)]
    refused = CliRunner().invoke(app, ["remove-plugin", "cwl", "nf-schema@2.5.1", *where])
    assert "error: cwltool has no plugins that can be installed" in refused.output
    argv = ["install", "nextflow", "--own", "/bin/nextflow", "--plugin", "nf-schema@2.5.1", *where]
    refused = CliRunner().invoke(app, argv)
    assert refused.exit_code == 1
    assert "your own engine has the plugins that you install with it" in refused.output


def test_names_are_completed() -> None:
    assert complete_name("c") == ["cwl"]
    assert complete_name("x") == []
