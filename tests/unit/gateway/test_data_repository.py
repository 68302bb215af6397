"""What the answers of DRS servers, honest and hostile, become."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from common.errors import EngineError
from common.location import RemoteLocation
from gateway.data_repository import Access, DataRepositories

OBJECTS = "https://drs.example.org/ga4gh/drs/v1/objects"


class Pages:
    """What servers answer, by URL."""

    def __init__(self, pages: Mapping[str, Any]) -> None:
        self.pages = pages

    def document(self, url: str, most: int) -> bytes:
        if url not in self.pages:
            raise EngineError(f"{url}: its server answered 404")
        page = self.pages[url]
        assert most > 0
        return page if isinstance(page, bytes) else json.dumps(page).encode()


def rank(kind: str) -> int | None:
    return {"s3": 0, "https": 1}.get(kind)


def access(answer: Any, url: str = "drs://drs.example.org/7", more: Mapping[str, Any] | None = None) -> Access:
    pages = Pages({f"{OBJECTS}/7": answer, **(more or {})})
    return DataRepositories(web=pages).access(url, rank)


def by(kind: str, url: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "access_url": {"url": url, **more}}


def at(url: str) -> Access:
    return Access(location=RemoteLocation(scheme=url.partition(":")[0], url=url))


def test_the_way_that_suits_best_is_taken() -> None:
    ways = [by("https", "https://x.org/7"), by("ftp", "ftp://x.org/7"), by("s3", "s3://x/7")]
    assert access({"access_methods": ways}) == at("s3://x/7")
    assert access({"access_methods": ways[:2]}) == at("https://x.org/7")


def test_a_way_by_its_id_is_asked_for() -> None:
    ways = [{"type": "s3", "access_id": "a/b"}]
    found = access({"access_methods": ways}, more={f"{OBJECTS}/7/access/a%2Fb": {"url": "https://signed.org/7?sig=x"}})
    assert found == at("https://signed.org/7?sig=x")


def test_an_id_is_one_part_of_the_path_whatever_it_holds() -> None:
    pages = Pages({f"{OBJECTS}/a%2F..%2Fb": {"access_methods": [by("s3", "s3://x/7")]}})
    assert DataRepositories(web=pages).access("drs://drs.example.org/a%2F..%2Fb", rank) == at("s3://x/7")


def test_of_headers_only_authorization_is_sent() -> None:
    way = by(
        "https", "https://x.org/7", headers=["Authorization: Bearer b", "Host: inside", 5, "Authorization: a\r\nX: y"]
    )
    assert access({"access_methods": [way]}).headers == {"Authorization": "Bearer b"}


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        [],
        {"access_methods": "x"},
        {"access_methods": [None, 5, {"type": "s3"}, {"type": "s3", "access_url": "s3://x/7"}]},
        {"access_methods": [by("s3", "file:///etc/passwd"), by("https", "drs://drs.example.org/7")]},
        {"access_methods": [by("https", "/etc/passwd"), by("https", "gopher://x"), by("ftp", "ftp://x.org/7")]},
        {"access_methods": [{"type": "s3", "access_id": ["x"]}, {"type": ["s3"], "access_url": {"url": "s3://x/7"}}]},
    ],
)
def test_an_answer_that_leads_nowhere_is_the_tasks_failure(answer: Any) -> None:
    with pytest.raises(EngineError):
        access(answer)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("drs://dg.4503:a7", "compact identifier"),
        ("drs://drs.example.org", "names no object"),
        ("drs://drs.example.org/", "names no object"),
        ("drs://drs.example.org/a/b", "names no object"),
        ("drs://me:x@drs.example.org/7", "compact identifier"),
        ("drs://me@drs.example.org/7", "names no object"),
        ("drs://drs.example.org/7?x=y", "names no object"),
    ],
)
def test_a_name_that_is_none_says_so(url: str, says: str) -> None:
    with pytest.raises(EngineError, match=says):
        access({"access_methods": [by("s3", "s3://x/7")]}, url)


def test_a_bundle_is_refused() -> None:
    with pytest.raises(EngineError, match="bundle"):
        access({"contents": [{"name": "a"}], "access_methods": []})
