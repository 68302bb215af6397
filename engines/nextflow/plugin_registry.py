"""Where Nextflow's plugins come from: the registry of nextflow.io, or an index as it was before, `plugins.json`."""

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import httpx

from common.errors import SystemFailure
from common.json_types import BadJson, Json, read_json
from engines.nextflow.installed_plugins import NextflowPlugin, is_met, version_order

TIMEOUT = httpx.Timeout(60.0, connect=20.0)
LARGEST_ANSWER = 64_000_000
LARGEST_ARCHIVE = 1_000_000_000
SHA512 = re.compile(r"[0-9a-fA-F]{128}")
OTHER_WAYS = "(WES_PLUGINS_URL names another registry; --plugin takes a plugin's zip file, too)"


@dataclass(frozen=True, kw_only=True)
class PluginRelease:
    """`requires`: versions of Nextflow (`>=24.04.0`) or empty; `sha512` of the archive at `url`, in lower case."""

    plugin: NextflowPlugin
    url: str
    sha512: str
    requires: str


@dataclass(frozen=True, kw_only=True)
class PluginRegistry:
    """Asked as Nextflow asks it: a `url` that ends in `.json` is an index of all plugins, any other one the base URL of
    the registry's API. Each method raises `SystemFailure` in words."""

    url: str
    transport: httpx.BaseTransport | None = None

    def release(self, plugin_id: str, version: str | None, nextflow_version: str) -> PluginRelease:
        """The one of that version; without one the newest that this Nextflow can use."""
        wanted = f"{plugin_id}@{version}" if version else plugin_id
        releases = _releases(self._ask(wanted, nextflow_version), plugin_id)
        known = [each for each in releases if version is None or each.plugin.version == version]
        if not known:
            others = ", ".join(each.plugin.version for each in releases[:5])
            raise SystemFailure(f"{self.url} knows no plugin {wanted}{f'; it has {others}' if others else ''}")
        usable = [each for each in known if is_met(each.requires, nextflow_version)]
        if not usable:
            raise SystemFailure(f"{known[0].plugin} needs Nextflow {known[0].requires}, and this is {nextflow_version}")
        return usable[0]

    def fetch(self, release: PluginRelease, archive: Path) -> None:
        """Writes what is at the release's URL to `archive`, if it is what the registry says."""
        with archive.open("wb") as file:
            digest = self._download(release.url, file, LARGEST_ARCHIVE)
        if digest != release.sha512:
            raise SystemFailure(
                f"what came from {release.url} is not the file that the registry names: its sha512 is {digest}"
            )

    def _ask(self, wanted: str, nextflow_version: str) -> Json:
        url = httpx.URL(self.url)
        if not url.path.endswith(".json"):
            base = httpx.URL(f"{self.url.rstrip('/')}/v1/plugins/dependencies")
            url = base.copy_merge_params({"plugins": wanted, "nextflowVersion": nextflow_version})
        answer = io.BytesIO()
        self._download(str(url), answer, LARGEST_ANSWER)
        try:
            return cast(Json, read_json(answer.getvalue()))
        except BadJson as problem:
            raise SystemFailure(f"{url} is no list of plugins: {problem} {OTHER_WAYS}") from None

    def _download(self, url: str, file: BinaryIO, most: int) -> str:
        """The sha512 of what came."""
        digest, size = hashlib.sha512(), 0
        try:
            with (
                httpx.Client(transport=self.transport, timeout=TIMEOUT, follow_redirects=True) as client,
                client.stream("GET", url) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise SystemFailure(f"{url} answered HTTP {response.status_code} {OTHER_WAYS}")
                for block in response.iter_bytes():
                    size += len(block)
                    if size > most:
                        raise SystemFailure(f"{url} has more than {most / 1e6:g} MB")
                    digest.update(block)
                    file.write(block)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SystemFailure(f"{url} can't be read: {error or type(error).__name__} {OTHER_WAYS}") from error
        return digest.hexdigest()


def _releases(document: Json, plugin_id: str) -> list[PluginRelease]:
    """The newest first; without those that have no checksum."""
    plugins = document.get("plugins") if isinstance(document, Mapping) else document
    listed = [each for each in plugins if isinstance(each, Mapping)] if isinstance(plugins, list) else []
    entries = [each.get("releases") for each in listed if each.get("id") == plugin_id]
    found = [_release(plugin_id, each) for entry in entries if isinstance(entry, list) for each in entry]
    known = [each for each in found if each is not None]
    return sorted(known, key=lambda each: version_order(each.plugin.version), reverse=True)


def _release(plugin_id: str, entry: Json) -> PluginRelease | None:
    if not isinstance(entry, Mapping):
        return None
    version, url, sha512 = (str(entry.get(name, "")) for name in ("version", "url", "sha512sum"))
    if not (url.startswith(("https://", "http://")) and SHA512.fullmatch(sha512)):
        return None
    plugin = NextflowPlugin(id=plugin_id, version=version)
    if not plugin.is_named_well:
        return None
    return PluginRelease(plugin=plugin, url=url, sha512=sha512.lower(), requires=str(entry.get("requires") or ""))
