import stat
import zipfile
from pathlib import Path

import pytest

from common.errors import SettingsError, SystemFailure
from engines.nextflow import installed_plugins as module
from engines.nextflow.installed_plugins import (
    NextflowPlugin,
    add_archive,
    is_met,
    newest_plugins,
    plugin_named,
    plugins_in,
    remove_plugin,
)
from tests.unit.engines.nextflow.plugin_archives import plugin_archive

SCHEMA = NextflowPlugin(id="nf-schema", version="2.5.1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "engine" / "plugins"
    made.mkdir(parents=True)
    return made


def add(folder: Path, archive: Path) -> NextflowPlugin:
    return add_archive(archive, folder, "25.04.4")


def test_a_plugin_is_known_by_its_manifest_and_others_can_read_it(tmp_path: Path, folder: Path) -> None:
    archive = plugin_archive(tmp_path / "any.zip", "nf-schema", "2.5.1", files={"lib/a.jar": b"jar"})
    assert add(folder, archive) == SCHEMA
    assert (folder / "nf-schema-2.5.1" / "lib" / "a.jar").read_bytes() == b"jar"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o644}
    assert stat.S_IMODE((folder / "nf-schema-2.5.1").stat().st_mode) == 0o755
    assert [path.name for path in folder.parent.iterdir()] == ["plugins"]


def test_several_versions_lie_side_by_side_and_go_one_by_one(tmp_path: Path, folder: Path) -> None:
    for version in ("2.10.0", "2.9.1", "2.10.0-beta", "2.5.1"):
        add(folder, plugin_archive(tmp_path / "p.zip", "nf-schema", version))
    add(folder, plugin_archive(tmp_path / "p.zip", "nf-ga4gh-other", "1.0.0"))
    versions = [plugin.version for plugin in plugins_in(folder) if plugin.id == "nf-schema"]
    assert versions == ["2.10.0", "2.10.0-beta", "2.9.1", "2.5.1"]
    remove_plugin(NextflowPlugin(id="nf-schema", version="2.10.0"), folder)
    assert newest_plugins(folder) == {"nf-ga4gh-other": "1.0.0", "nf-schema": "2.10.0-beta"}
    with pytest.raises(SettingsError, match=r"there is no plugin nf-schema@2\.10\.0; there are: nf-ga4gh-other@1"):
        remove_plugin(NextflowPlugin(id="nf-schema", version="2.10.0"), folder)


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "classes/../../evil", "..\\evil"])
def test_an_archive_that_leads_elsewhere_leaves_nothing(tmp_path: Path, folder: Path, name: str) -> None:
    with pytest.raises(SystemFailure, match=r"may not hold .*evil"):
        add(folder, plugin_archive(tmp_path / "p.zip", "nf-x", "1.0.0", files={name: b"x"}))
    assert not list(tmp_path.rglob("evil*"))
    assert plugins_in(folder) == ()


def test_a_link_in_an_archive_is_refused(tmp_path: Path, folder: Path) -> None:
    archive = plugin_archive(tmp_path / "p.zip", "nf-x", "1.0.0")
    link = zipfile.ZipInfo("lib")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, "/etc")
    with pytest.raises(SystemFailure, match="may not hold 'lib'"):
        add(folder, archive)


def test_an_archive_without_end_is_given_up(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_PLUGIN", 1000)
    with pytest.raises(SystemFailure, match=r"nf-x@1\.0\.0 has more than 1e-06 GB"):
        add(folder, plugin_archive(tmp_path / "p.zip", "nf-x", "1.0.0", files={"a": bytes(600), "b": bytes(600)}))
    assert not list(folder.parent.glob(".plugin-*"))


def test_what_is_no_plugin_or_another_one_says_so(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip file")
    with pytest.raises(SystemFailure, match=r"text\.zip can't be unpacked: File is not a zip file"):
        add(folder, tmp_path / "text.zip")
    with pytest.raises(SystemFailure, match=r"gone\.zip can't be unpacked: .*No such file"):
        add(folder, tmp_path / "gone.zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(SystemFailure, match=r"empty\.zip is no plugin of Nextflow: there is no classes/META-INF/MAN"):
        add(folder, tmp_path / "empty.zip")
    with pytest.raises(SystemFailure, match=r"p\.zip is no plugin of Nextflow: its manifest names none"):
        add(folder, plugin_archive(tmp_path / "p.zip", "../x", "1.0.0"))
    with pytest.raises(SystemFailure, match=r"what came for nf-schema@2\.5\.1 is nf-x@1\.0\.0"):
        add_archive(plugin_archive(tmp_path / "p.zip", "nf-x", "1.0.0"), folder, "25.04.4", SCHEMA)
    with pytest.raises(SystemFailure, match=r"nf-x@3\.0\.0 needs Nextflow >=25\.10\.0, and this is 25\.04\.4"):
        add(folder, plugin_archive(tmp_path / "p.zip", "nf-x", "3.0.0", requires=">=25.10.0"))


@pytest.mark.parametrize(
    ("requires", "met"),
    [(">=25.04.0", True), (">= 25.4.4", True), ("nextflow@>=25.05.0-edge", False), (">25.04.4", False), ("", True)],
)
def test_which_nextflow_a_plugin_asks_for(requires: str, met: bool) -> None:
    assert is_met(requires, "25.04.4+own") is met


def test_a_plugin_is_named_as_in_a_config() -> None:
    assert plugin_named("nf-schema@2.5.1-beta") == ("nf-schema", "2.5.1-beta")
    assert plugin_named("nf-schema") == ("nf-schema", None)
    for text in ("", "nf-schema@", "nf-schema@~2.5", "../x@1", "a@1/../2"):
        with pytest.raises(SettingsError, match="names no plugin of Nextflow"):
            plugin_named(text)
