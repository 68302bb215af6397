"""Nextflow's plugins beside the engine: which are there, one more from its archive, one less."""

import re
import stat
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from common.errors import SettingsError, SystemFailure

FOLDER = "plugins"
"""Below the engine's own folder: all versions of Nextflow use the same plugins."""
MANIFEST = "classes/META-INF/MANIFEST.MF"
LARGEST_MANIFEST = 64 * 1024
MOST_FILES = 50_000
LARGEST_PLUGIN = 2_000_000_000
"""Bytes that a plugin may take when it is unpacked; the largest of nextflow.io take some 200 MB."""
BLOCK = 1024 * 1024
PLUGIN_ID = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
PLUGIN_VERSION = re.compile(r"\d+(?:[.+_-][A-Za-z0-9]+)*")
FOLDER_NAME = re.compile(r"(?P<id>.+?)-(?P<version>\d.*)")
AT_LEAST = re.compile(r"(?:nextflow@)?\s*(?P<kind>>=?)\s*(?P<version>\d+(?:\.\d+)*)")


@dataclass(frozen=True, kw_only=True)
class NextflowPlugin:
    """One version of a plugin, `nf-schema@2.5.1` in a config."""

    id: str
    version: str

    def __str__(self) -> str:
        return f"{self.id}@{self.version}"

    @property
    def folder_name(self) -> str:
        """As Nextflow looks for it."""
        return f"{self.id}-{self.version}"

    @property
    def is_named_well(self) -> bool:
        """Whether it can be the name of a folder, and of a plugin."""
        return bool(PLUGIN_ID.fullmatch(self.id) and PLUGIN_VERSION.fullmatch(self.version))


def plugin_named(text: str) -> tuple[str, str | None]:
    """Id and version of what a person names, `nf-schema@2.5.1` or `nf-schema`; `SettingsError` for what is neither."""
    plugin_id, mark, version = text.partition("@")
    if not PLUGIN_ID.fullmatch(plugin_id) or (mark and not PLUGIN_VERSION.fullmatch(version)):
        raise SettingsError(f"{text!r} names no plugin of Nextflow: nf-schema@2.5.1 would be one")
    return plugin_id, version or None


def version_order(version: str) -> tuple[list[int], bool, str]:
    """Sorts versions of plugins and of Nextflow: `2.5.1` after `2.5.1-beta` after `2.5.0`."""
    release, _, suffix = version.partition("-")
    return [int(number) for number in re.findall(r"\d+", release)], not suffix, suffix


def plugins_in(folder: Path) -> tuple[NextflowPlugin, ...]:
    """Those that lie there, by their names, of each the newest version first."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found = [
        NextflowPlugin(id=match["id"], version=match["version"]) for match in map(FOLDER_NAME.fullmatch, names) if match
    ]
    found.sort(key=lambda plugin: version_order(plugin.version), reverse=True)
    return tuple(sorted(found, key=lambda plugin: plugin.id))


def newest_plugins(folder: Path) -> dict[str, str]:
    """Per plugin the newest version that lies there, which a config means that names none."""
    newest: dict[str, str] = {}
    for plugin in plugins_in(folder):
        newest.setdefault(plugin.id, plugin.version)
    return newest


def is_met(requires: str, version: str) -> bool:
    """Whether this version of Nextflow is one that a plugin asks for (`>=24.04.0`); what else it may say is Nextflow's
    own to judge, when it starts the plugin."""
    wanted = AT_LEAST.match(requires.strip())
    if wanted is None:
        return True
    least, have = ([int(number) for number in text.split(".")] for text in (wanted["version"], _plain(version)))
    return have >= least if wanted["kind"] == ">=" else have > least


def _plain(version: str) -> str:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return found[0] if found else "0"


def add_archive(archive: Path, folder: Path, version: str, wanted: NextflowPlugin | None = None) -> NextflowPlugin:
    """Unpacks a plugin's release into `folder`, whole or not at all; returns at once where it lies there.

    `version`: of the Nextflow that is to use it. `wanted`: what the archive has to be. `SystemFailure` in words for one
    that is none, is another one, needs a newer Nextflow, or would write elsewhere or without end.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            manifest = _manifest(opened, archive)
            plugin = _named(manifest, archive)
            if wanted is not None and plugin != wanted:
                raise SystemFailure(f"what came for {wanted} is {plugin}")
            requires = manifest.get("Plugin-Requires", "")
            if not is_met(requires, version):
                raise SystemFailure(f"{plugin} needs Nextflow {requires}, and this is {version}")
            if not (folder / plugin.folder_name).is_dir():
                _unpack(opened, plugin, folder)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, UnicodeError) as error:
        raise SystemFailure(f"{archive.name} can't be unpacked: {error}") from error
    return plugin


def remove_plugin(plugin: NextflowPlugin, folder: Path) -> None:
    """`SettingsError` where it is not there."""
    place = folder / plugin.folder_name
    if not place.is_dir():
        have = ", ".join(map(str, plugins_in(folder))) or "none"
        raise SettingsError(f"there is no plugin {plugin}; there are: {have}")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".plugin-") as gone:
        place.rename(Path(gone) / plugin.folder_name)


def _named(manifest: dict[str, str], archive: Path) -> NextflowPlugin:
    plugin = NextflowPlugin(id=manifest.get("Plugin-Id", ""), version=manifest.get("Plugin-Version", ""))
    if not plugin.is_named_well:
        raise SystemFailure(f"{archive.name} is no plugin of Nextflow: its manifest names none")
    return plugin


def _manifest(opened: zipfile.ZipFile, archive: Path) -> dict[str, str]:
    try:
        with opened.open(MANIFEST) as file:
            text = file.read(LARGEST_MANIFEST).decode()
    except KeyError:
        raise SystemFailure(f"{archive.name} is no plugin of Nextflow: there is no {MANIFEST} in it") from None
    # A line that begins with a space goes on with the one before.
    lines = re.sub(r"\r?\n ", "", text).splitlines()
    return {name: value.strip() for name, mark, value in (line.partition(":") for line in lines) if mark}


def _unpack(opened: zipfile.ZipFile, plugin: NextflowPlugin, folder: Path) -> None:
    if len(opened.infolist()) > MOST_FILES:
        raise SystemFailure(f"{plugin} has more than {MOST_FILES} files")
    # Not below `folder`, where Nextflow takes each folder for a plugin.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".plugin-") as place:
        top = Path(place) / plugin.folder_name
        left = LARGEST_PLUGIN
        for entry in opened.infolist():
            left -= _extract(opened, entry, top, left)
            if left < 0:
                raise SystemFailure(f"{plugin} has more than {LARGEST_PLUGIN / 1e9:g} GB")
        for path in (top, *top.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        top.rename(folder / plugin.folder_name)


def _extract(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, top: Path, most: int) -> int:
    """How many bytes it has; it is left unfinished when they are more than `most`."""
    path = PurePosixPath(entry.filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in entry.filename
        or kind not in {0, stat.S_IFREG, stat.S_IFDIR}
    ):
        raise SystemFailure(f"a plugin may not hold {entry.filename!r}: it leads out of the plugin's folder")
    target = top / path
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with opened.open(entry) as source, target.open("wb") as copy:
        while written <= most and (block := source.read(BLOCK)):
            written += copy.write(block)
    return written
