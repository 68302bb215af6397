"""Inputs by URLs that a TES does not read: a real S3 server signs, and takes what comes from a real web server."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.fakes.tes_server import BadTes
from tests.fakes.web_server import Reply, Site, web_site
from tests.integration.workers.conftest import Rig, rigged
from tests.s3_fixture import S3Server, real_s3

LARGE = 60_000_000
Starting = Callable[..., AbstractContextManager[Rig]]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with real_s3() as server:
        server.stores.put(f"{server.url}/public/reads", b"an object")
        server.stores.put(f"{server.url}/private/reads", b"not for runs")
        yield server


@pytest.fixture
def site() -> Iterator[Site]:
    with web_site() as running:
        running.pages["/reads"] = "from the web"
        yield running


@pytest.fixture
def starting(open_tmp: Path, tes: BadTes, s3: S3Server) -> Starting:
    """A gateway whose TES has a storage and, with `keys`, reads some kinds of URLs only."""

    @contextmanager
    def start(keys: str, storage: str = "", **settings: Any) -> Iterator[Rig]:
        file = open_tmp / "wes.toml"
        opened = s3.table.replace("[stores.s3]", f'[stores."{s3.url}/public"]') + "inputs = true\n"
        table = f'[tes.far]\nurl = "{tes.url}"\nstorage = "{storage or s3.url + "/far"}"\n{keys}\n'
        file.write_text(table + s3.table + opened)
        told = {"fetch_allow": ("127.0.0.1",), **settings}
        with rigged(open_tmp, tes, config=file, tes_urls=(), tes_token_file=(), **told) as rig:
            yield rig

    return start


def read(url: str, **item: Any) -> dict[str, Any]:
    return {"url": url, "path": "/in/reads", **item}


def sent(rig: Rig, tes: BadTes, url: str) -> str:
    """The URL that the TES was given for an input."""
    document = rig.wait(rig.post(inputs=[read(url)]))
    assert document["state"] == "COMPLETE", document
    assert document["inputs"] == [read(url)]
    return str(tes.bodies[-1]["inputs"][0]["url"])


def test_a_signed_url_is_read_without_credentials_and_known_to_the_tes_alone(
    starting: Starting, tes: BadTes, s3: S3Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with starting('reads = ["http", "https"]') as rig:
        url = sent(rig, tes, f"{s3.url}/public/reads")
        with urlopen(url) as answer:
            assert answer.read() == b"an object"
        with pytest.raises(HTTPError, match="403"):
            urlopen(url.replace("public", "private"))
        signature = url.partition("X-Amz-Signature=")[2].partition("&")[0]
        assert signature
        # As a TES repeats what it can't read, and what it does not take.
        tes.documents = {"logs": [{"logs": [], "system_logs": [f"GET {url}: 503"]}]}
        tes.script = ["SYSTEM_ERROR"]
        tes.create = [None, json.dumps({"msg": f"can't read {url}", "status": 400}).encode()]
        for _ in range(2):
            task_id = rig.post(inputs=[read(f"{s3.url}/public/reads")])
            document = rig.wait(task_id)
            assert "X-Amz-Signature=***" in str(document["logs"])
            known = f"{document} {rig.stores.tasks.get('run-1', task_id)} {rig.gateway.notes('run-1')}"
            told = known + caplog.text + "".join(capfd.readouterr())
            for body in tes.bodies:
                one = body["inputs"][0]["url"].partition("X-Amz-Signature=")[2].partition("&")[0]
                assert one not in told


def test_what_comes_through_the_head_is_fetched_once_and_never_here(
    starting: Starting, tes: BadTes, s3: S3Server, site: Site
) -> None:
    site.pages["/large"] = Reply(body=b"x" * LARGE)
    with starting("reads = []") as rig:
        for url, size in ((f"{site.url}/large", LARGE), (f"{s3.url}/public/reads", len("an object"))):
            first = sent(rig, tes, url)
            assert first.startswith(f"{s3.url}/far/run-1/fetched/")
            assert s3.stores.head(first).size == size
            assert sent(rig, tes, url) == first
        assert site.paths() == ["/large"]
        held = sum(path.stat().st_size for path in rig.scope.folder.root.rglob("*") if path.is_file())
        assert held < LARGE / 10


def test_a_server_that_shares_the_folder_reads_it_there(starting: Starting, tes: BadTes, site: Site) -> None:
    with starting("reads = []", storage="shared") as rig:
        url = sent(rig, tes, f"{site.url}/reads")
        path = Path(url.removeprefix("file://"))
        assert path.is_relative_to(rig.scope.folder.fetched)
        assert path.read_text() == "from the web"
        assert path.stat().st_uid == rig.scope.identity.uid


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("S3/private/reads", "no TES can have it: reads"),
        ("SITE/no", "its server answered 404"),
        ("http://localhost:1/x", "which is not a public one, and such hosts are not asked"),
        ("drs://localhost/x", "which is not a public one, and such hosts are not asked"),
        ("ftp://example.org/x", "far reads nothing by a URL"),
    ],
)
def test_what_can_not_be_brought_says_so(
    starting: Starting, tes: BadTes, s3: S3Server, site: Site, url: str, says: str
) -> None:
    with starting("reads = []", fetch_allow=("127.0.0.1",) if "SITE" in url else ()) as rig:
        document = rig.wait(rig.post(inputs=[read(url.replace("S3", s3.url).replace("SITE", site.url))]))
        assert document["state"] == "SYSTEM_ERROR"
        assert says in str(document["logs"][-1]["system_logs"])
        assert (tes.bodies, rig.session.failure) == ([], None)
