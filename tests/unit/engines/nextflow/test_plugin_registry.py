import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.errors import SystemFailure
from engines.nextflow import plugin_registry as module
from engines.nextflow.plugin_registry import PluginRegistry

DATA = b"a plugin"
API = "https://registry.test/api"


def release(version: str, **fields: Any) -> dict[str, Any]:
    return {
        "version": version,
        "url": f"https://files.test/nf-schema-{version}.zip",
        "sha512sum": hashlib.sha512(DATA).hexdigest().upper(),
        "requires": ">=24.04.0",
        **fields,
    }


RELEASES = [release("2.3.0"), release("2.10.0"), release("3.0.0", requires=">=25.10.0"), release("4.0", sha512sum="")]
PLUGINS = [{"id": "nf-prov", "releases": [release("9.0.0")]}, {"id": "nf-schema", "releases": RELEASES}]


def registry(
    url: str = API, answer: Callable[[httpx.Request], httpx.Response] | None = None, document: object = None
) -> PluginRegistry:
    def usual(request: httpx.Request) -> httpx.Response:
        if request.url.host == "files.test":
            return httpx.Response(200, content=DATA)
        return httpx.Response(200, text=json.dumps({"plugins": PLUGINS} if document is None else document))

    return PluginRegistry(url=url, transport=httpx.MockTransport(answer or usual))


def test_the_registry_is_asked_for_one_plugin() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, text=json.dumps({"plugins": PLUGINS}))

    found = registry(f"{API}/", answer).release("nf-schema", "2.3.0", "25.04.4")
    assert asked == [f"{API}/v1/plugins/dependencies?plugins=nf-schema%402.3.0&nextflowVersion=25.04.4"]
    assert (str(found.plugin), found.url) == ("nf-schema@2.3.0", "https://files.test/nf-schema-2.3.0.zip")


def test_without_a_version_the_newest_that_this_nextflow_can_use_is_meant() -> None:
    index = registry("https://raw.test/plugins.json", document=PLUGINS)
    assert index.release("nf-schema", None, "25.04.4").plugin.version == "2.10.0"
    assert index.release("nf-schema", None, "25.10.1").plugin.version == "3.0.0"


def test_what_is_not_there_or_does_not_fit_is_said() -> None:
    with pytest.raises(SystemFailure, match=r"knows no plugin nf-schema@1\.0; it has 3\.0\.0, 2\.10\.0, 2\.3\.0"):
        registry().release("nf-schema", "1.0", "25.04.4")
    with pytest.raises(SystemFailure, match=r"registry\.test/api knows no plugin nf-none$"):
        registry().release("nf-none", None, "25.04.4")
    with pytest.raises(SystemFailure, match=r"nf-schema@3\.0\.0 needs Nextflow >=25\.10\.0, and this is 25\.04\.4"):
        registry().release("nf-schema", "3.0.0", "25.04.4")
    # A release without a checksum can't be told from another file.
    with pytest.raises(SystemFailure, match="knows no plugin nf-schema@4"):
        registry().release("nf-schema", "4.0", "25.04.4")


@pytest.mark.parametrize("document", ["text", 1, {"plugins": 1}, [1], [{"id": "nf-schema", "releases": [1, {}]}]])
def test_an_answer_of_another_shape_is_no_plugin(document: object) -> None:
    with pytest.raises(SystemFailure, match="knows no plugin nf-schema"):
        registry(document=document).release("nf-schema", None, "25.04.4")


def test_a_registry_that_is_away_or_is_none_names_the_other_ways() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    with pytest.raises(SystemFailure, match=r"can't be read: no route \(WES_PLUGINS_URL .* --plugin takes a plugin's"):
        registry(answer=away).release("nf-schema", None, "25.04.4")
    with pytest.raises(SystemFailure, match="answered HTTP 503"):
        registry(answer=lambda _: httpx.Response(503)).release("nf-schema", None, "25.04.4")
    with pytest.raises(SystemFailure, match="is no list of plugins: this is not JSON"):
        registry(answer=lambda _: httpx.Response(200, text="<html>")).release("nf-schema", None, "25.04.4")


def test_an_archive_is_the_one_that_the_registry_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = registry().release("nf-schema", "2.3.0", "25.04.4")
    registry().fetch(found, tmp_path / "p.zip")
    assert (tmp_path / "p.zip").read_bytes() == DATA
    with pytest.raises(SystemFailure, match="is not the file that the registry names: its sha512 is"):
        registry(answer=lambda _: httpx.Response(200, content=b"evil")).fetch(found, tmp_path / "p.zip")
    monkeypatch.setattr(module, "LARGEST_ARCHIVE", 3)
    with pytest.raises(SystemFailure, match="has more than"):
        registry().fetch(found, tmp_path / "p.zip")
