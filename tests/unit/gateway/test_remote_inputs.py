"""Inputs by URLs that a TES does not read: what it is sent in their place."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from common.configuration import TesServer
from common.errors import EngineError
from common.object_store import StoreSettings
from gateway.data_repository import DataRepositories
from gateway.download_room import DownloadLimits, DownloadRoom
from gateway.fetched_files import FetchedFiles, FetchedInFolder, FetchedObjects
from gateway.remote_inputs import FetchesOfRun, RemoteInputs
from gateway.remote_sources import RemoteSources, WebPages
from gateway.transfer_threads import TransferThreads
from gateway.translation import UnusableInput
from sandbox.network import network_policy
from tests.fakes.object_store import MemoryStores
from tests.fakes.web_server import Reply, Site, web_site
from tests.unit.gateway.conftest import Run
from tests.waiting import until

STORAGE = "s3://runs/far"
FILE: dict[str, Any] = {"path": "/in/x", "type": "FILE"}


class SourceStores(MemoryStores):
    """In memory, with settings as an operator has them."""

    def __init__(self, **settings: StoreSettings) -> None:
        super().__init__()
        self._settings = settings

    def sign(self, url: str, seconds: float, method: str = "GET") -> str:
        assert (seconds > 3600, method) == (True, "GET")
        return f"https://store.example.org/{url.partition('://')[2]}?X-Amz-Signature=hunter2"


class Documents:
    """Of one DRS object, whose only way is `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def document(self, _url: str, _most: int) -> bytes:
        kind = self.url.partition(":")[0]
        return f'{{"access_methods": [{{"type": "{kind}", "access_url": {{"url": "{self.url}"}}}}]}}'.encode()


@dataclass(kw_only=True)
class Rig:
    run: Run
    stores: SourceStores
    site: Site
    threads: TransferThreads
    allow: tuple[str, ...] = ("127.0.0.1",)
    most: int | None = None
    drs: str = ""
    kept: FetchedFiles | None = None
    fetches: FetchesOfRun | None = None
    rooms: list[DownloadRoom] = field(default_factory=list)

    def inputs(self, *reads: str) -> RemoteInputs:
        web = WebPages(policy=network_policy(self.allow))
        sources = RemoteSources(web=web, stores=self.stores)
        room = DownloadRoom(
            limits=DownloadLimits(files=1, run_bytes=self.most, free_bytes=0), folder=self.run.folder.root
        )
        self.rooms.append(room)
        kept = self.kept or FetchedObjects(stores=self.stores, objects=self.run.files.objects, room=room)
        self.fetches = self.fetches or FetchesOfRun(run_id="01run", sources=sources, files=kept)
        return RemoteInputs(
            server=TesServer(name="far", url="http://far", storage=STORAGE, reads=reads),
            sources=sources,
            repositories=DataRepositories(web=Documents(self.drs)),
            storages=frozenset([STORAGE]),
            fetches=self.fetches,
            threads=self.threads,
        )

    def sent(self, url: str, *reads: str, **item: Any) -> Any:
        return asyncio.run(self.inputs(*reads).readable([{**FILE, "url": url, **item}]))  # type: ignore[typeddict-item]

    def bytes_of(self, url: str) -> bytes:
        return self.stores.content(url)


@pytest.fixture
def rig(run: Run) -> Iterator[Rig]:
    threads = TransferThreads(4)
    public = StoreSettings(inputs=True, anonymous=False)
    stores = SourceStores(**{"s3://public": public, "s3": StoreSettings(), "s3://open": StoreSettings(anonymous=True)})
    with web_site() as site:
        yield Rig(run=run, stores=stores, site=site, threads=threads)
    threads.stop()


def test_what_the_server_reads_is_left_alone(rig: Rig) -> None:
    for url in ("s3://private/x", "https://example.org/x"):
        assert rig.sent(url, "s3", "https") == [{**FILE, "url": url}]
    text: Any = {"path": "/in/t", "content": "text"}
    assert asyncio.run(rig.inputs().readable([text])) == [text]


def test_an_object_is_signed_for_a_server_that_reads_https(rig: Rig) -> None:
    signed = "https://store.example.org/public/x?X-Amz-Signature=hunter2"
    assert rig.sent("s3://public/x", "https") == [{**FILE, "url": signed}]
    assert rig.stores.read == []


def test_an_object_goes_through_the_head_to_a_server_that_reads_nothing(rig: Rig) -> None:
    rig.stores.put("s3://public/x", b"bytes")
    (item,) = rig.sent("s3://public/x")
    assert item["url"].startswith(f"{STORAGE}/01run/fetched/")
    assert rig.bytes_of(item["url"]) == b"bytes"


def test_public_data_are_never_signed(rig: Rig) -> None:
    rig.stores.put("s3://open/x", b"bytes")
    (item,) = rig.sent("s3://open/x", "https")
    assert rig.bytes_of(item["url"]) == b"bytes"


def test_what_the_operator_did_not_open_is_nobodys_to_read(rig: Rig) -> None:
    rig.stores.put("s3://private/x", b"secret")
    for reads in ((), ("https",)):
        with pytest.raises(UnusableInput, match=r"inputs = true"):
            rig.sent("s3://private/x", *reads)
    assert not rig.inputs().sources.brings("s3://private/x")
    assert rig.inputs().sources.brings("s3://public/x")
    assert not rig.inputs().sources.brings("s3://public/../private/x")
    assert not rig.inputs().sources.brings("ftp://example.org/x")


def test_a_folder_becomes_its_files(rig: Rig) -> None:
    for name in ("a", "b/c"):
        rig.stores.put(f"s3://public/d/{name}", name.encode())
    rig.stores.put("s3://public/d2", b"another")
    found = rig.sent("s3://public/d/", type="DIRECTORY")
    assert {item["path"]: rig.bytes_of(item["url"]) for item in found} == {"/in/x/a": b"a", "/in/x/b/c": b"b/c"}
    with pytest.raises(UnusableInput, match="nothing below"):
        rig.sent("s3://public/empty", type="DIRECTORY")
    with pytest.raises(UnusableInput, match="can't be listed"):
        rig.sent(f"{rig.site.url}/d", type="DIRECTORY")


def test_a_file_of_the_web_is_fetched_once_for_all_tasks_and_by_all_workers(rig: Rig) -> None:
    rig.site.pages["/x"] = "from the web"
    first = rig.sent(f"{rig.site.url}/x")
    assert rig.sent(f"{rig.site.url}/x") == first
    rig.fetches = None
    assert rig.sent(f"{rig.site.url}/x") == first
    assert rig.site.paths() == ["/x"]
    assert rig.bytes_of(first[0]["url"]) == b"from the web"


def test_tasks_at_once_fetch_it_once(rig: Rig) -> None:
    rig.site.pages["/x"] = Reply(body=b"slow", wait_seconds=0.2)
    inputs = rig.inputs()
    item: Any = {**FILE, "url": f"{rig.site.url}/x"}

    async def both() -> Any:
        return await asyncio.gather(inputs.readable([item]), inputs.readable([item, item]))

    first, second = asyncio.run(both())
    assert second == first * 2
    assert rig.site.paths() == ["/x"]


def test_for_a_server_that_shares_the_folder_it_lies_where_no_engine_sees_it(rig: Rig) -> None:
    rig.site.pages["/x"] = "from the web"
    room = DownloadRoom(limits=DownloadLimits(files=1, run_bytes=None, free_bytes=0), folder=rig.run.folder.root)
    rig.kept = FetchedInFolder(files=rig.run.origins.files, room=room)
    (item,) = rig.sent(f"{rig.site.url}/x")
    name = item["url"].removeprefix("file:///wes/run/fetched/")
    assert (rig.run.folder.fetched / name).read_bytes() == b"from the web"
    rig.fetches = None
    assert rig.sent(f"{rig.site.url}/x") == [item]
    assert rig.site.paths() == ["/x"]


def test_a_failure_that_may_pass_is_tried_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.remote_inputs.PAUSE_SECONDS", 0.0)
    rig.site.pages["/x"] = Reply(status=503, times=2)
    rig.site.afterwards["/x"] = "here"
    (item,) = rig.sent(f"{rig.site.url}/x")
    assert rig.bytes_of(item["url"]) == b"here"
    rig.site.pages["/y?token=hunter2"] = Reply(status=503)
    with pytest.raises(UnusableInput, match=r"far: http://127\.0\.0\.1:\d+/y: its server answered 503"):
        rig.sent(f"{rig.site.url}/y?token=hunter2")


def test_half_a_file_is_none(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.remote_inputs.PAUSE_SECONDS", 0.0)
    rig.site.pages["/x"] = Reply(body=b"half", headers={"Content-Length": "900"})
    with pytest.raises(UnusableInput):
        rig.sent(f"{rig.site.url}/x")
    assert rig.stores.urls(f"{STORAGE}/01run/fetched") == []
    assert rig.rooms[-1].received == 0


def test_more_than_the_run_may_have_is_not_fetched(rig: Rig) -> None:
    rig.site.pages["/x"], rig.most = Reply(body=b"x" * 3_000_000), 2_000_000
    with pytest.raises(UnusableInput, match="WES_RUN_DISK_GB"):
        rig.sent(f"{rig.site.url}/x")
    assert rig.stores.urls(f"{STORAGE}/01run/fetched") == []


def test_a_host_that_is_not_public_is_not_asked(rig: Rig) -> None:
    rig.site.pages["/x"], rig.allow = "inside", ()
    with pytest.raises(UnusableInput, match="WES_FETCH_ALLOW"):
        rig.sent(f"{rig.site.url}/x")
    assert rig.site.asked == []


def test_a_drs_object_is_looked_up_for_a_server_that_reads_what_it_leads_to(rig: Rig) -> None:
    rig.drs = "https://bytes.example.org/7?sig=hunter2"
    assert rig.sent("drs://drs.example.org/7", "https") == [{**FILE, "url": rig.drs}]


def test_a_drs_server_can_not_lead_to_what_the_task_may_not_name(rig: Rig) -> None:
    rig.stores.put(f"{STORAGE}/other-run/contents/secret", b"secret")
    rig.stores.put("s3://private/x", b"secret")
    for leads in (f"{STORAGE}/other-run/contents/secret", "s3://runs/x/../far/other-run/y", "s3://private/x"):
        rig.drs = leads
        for reads in (("s3",), ("https",), ()):
            if (leads, reads) != ("s3://private/x", ("s3",)):
                with pytest.raises(UnusableInput):
                    rig.sent("drs://drs.example.org/7", *reads)


def test_who_stops_waiting_ends_the_fetch(rig: Rig) -> None:
    going = threading.Event()

    @contextmanager
    def endless(_access: Any) -> Iterator[Any]:
        def chunks() -> Iterator[bytes]:
            while True:
                going.set()
                yield b"x" * 1000

        yield type("Endless", (), {"size": 0, "chunks": chunks()})

    inputs = rig.inputs()
    object.__setattr__(inputs.sources, "opened", endless)

    async def cancelled() -> None:
        item: Any = {**FILE, "url": f"{rig.site.url}/x"}
        asking = asyncio.ensure_future(inputs.readable([item]))
        await asyncio.to_thread(going.wait)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(cancelled())
    until(lambda: not rig.threads.are_busy)


def test_a_server_that_is_too_slow_is_left(rig: Rig) -> None:
    seconds = iter([0.0, 50.0, 70.0])
    web = WebPages(policy=network_policy(()))
    sources = RemoteSources(web=web, stores=rig.stores, clock=lambda: next(seconds))
    chunks = sources._in_time("https://slow.example.org/x?token=y", iter([b"a", b"b", b"c"]))
    assert next(chunks) == b"a"
    with pytest.raises(EngineError, match=r"^https://slow\.example\.org/x: its server sent less than 20 kB a second"):
        next(chunks)
