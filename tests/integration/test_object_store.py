"""Objects of a real S3 server, by `common.object_store`."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import InvalidLocation, ObjectNotFound, ObjectStoreFailure, ObjectStoreRefused, SettingsError
from common.object_store import PART, ObjectStores, StoreSettings, part_size
from tests.http_client import http
from tests.s3_fixture import S3Server, real_s3
from wes_cli.doctor import storages
from wes_service.settings import read_settings

NAMES = (
    "plain",
    "two words",
    "a#b",
    "50%",
    "a%20b",
    "äöü/😀",
    "?x=1&y",
    "deep/er/still",
    "trailing.",
    "[a]*{b}",
    "'\"",
)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with real_s3() as server:
        yield server


def content(stores: ObjectStores, url: str) -> bytes:
    return b"".join(bytes(chunk) for chunk in stores.open(url).chunks)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_is_taken_as_it_is_written(s3: S3Server, name: str) -> None:
    stores, url = s3.stores, f"{s3.url}/names/{name}"
    stores.put(url, name.encode())
    assert content(stores, url) == name.encode()
    assert stores.head(url).size == len(name.encode())
    assert url in [one.url for one in stores.list(f"{s3.url}/names")]
    assert http.get(stores.sign(url, 60)).content == name.encode()


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 3 * PART + 5])
def test_a_file_arrives_whole_in_parts_or_not(s3: S3Server, tmp_path: Path, size: int) -> None:
    file, url, stores = tmp_path / "file", f"{s3.url}/sizes/{size}", s3.stores
    file.write_bytes(os.urandom(size))
    stores.put(url, file)
    stream = stores.open(url)
    digest = hashlib.sha256()
    for chunk in stream.chunks:
        digest.update(chunk)
    assert stream.size == size
    assert digest.hexdigest() == hashlib.sha256(file.read_bytes()).hexdigest()
    operations = {one.operation for one in s3.requests() if one.key == f"sizes/{size}"}
    assert ("UploadPart" in operations) is (size > PART)


def test_an_open_file_is_stored_as_one_that_is_named(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (PART + 1))
    with (tmp_path / "file").open("rb") as file:
        s3.stores.put(f"{s3.url}/open", file)
    assert s3.stores.head(f"{s3.url}/open").size == PART + 1


def test_a_folder_is_what_is_below_a_slash(s3: S3Server) -> None:
    stores = s3.stores
    for key in ("f/a", "f/b/c", "fa", "f.txt"):
        stores.put(f"{s3.url}/lists/{key}", b"x")
    below = [one.url.removeprefix(f"{s3.url}/lists/") for one in stores.list(f"{s3.url}/lists/f/")]
    assert below == ["f/a", "f/b/c"]
    stores.delete_below(f"{s3.url}/lists/f")
    assert sorted(one.url.rpartition("/")[2] for one in stores.list(f"{s3.url}/lists")) == ["f.txt", "fa"]


def test_what_is_not_there_is_told_and_can_be_deleted(s3: S3Server) -> None:
    stores, url = s3.stores, f"{s3.url}/nothing"
    with pytest.raises(ObjectNotFound, match="there is no object s3://runs/nothing"):
        stores.head(url)
    with pytest.raises(ObjectNotFound):
        stores.open(url)
    stores.delete(url)
    assert list(stores.list(url)) == []


def test_an_object_is_copied_in_the_store(s3: S3Server) -> None:
    s3.stores.put(f"{s3.url}/copy/one", b"one")
    s3.stores.copy(f"{s3.url}/copy/one", f"{s3.url}/copy/other")
    assert content(s3.stores, f"{s3.url}/copy/other") == b"one"


@pytest.mark.parametrize(
    "url", ["s3://runs/../x", "s3://runs//x", "s3://runs/a/./b", "s3://runs/a\nb", "file:///x", "http://h/x", "runs/x"]
)
def test_what_names_no_object_is_refused(s3: S3Server, url: str) -> None:
    with pytest.raises(InvalidLocation):
        s3.stores.head(url)


def test_wrong_keys_are_refused_without_showing_them(s3: S3Server, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(0o600)
    wrong.write_text("not-the-secret")
    stores = ObjectStores({"s3": s3.settings.model_copy(update={"secret_access_key_file": wrong})})
    with pytest.raises(ObjectStoreRefused, match=r"s3://runs/ refuses it: .*see \[stores\]") as refused:
        stores.put(f"{s3.url}/x", b"x")
    assert "not-the-secret" not in str(refused.value)
    assert s3.access_key_id not in str(refused.value)
    wrong.write_text(s3.secret_access_key)
    os.utime(wrong, ns=(1, 1))
    stores.put(f"{s3.url}/x", b"renewed keys are read anew")


def test_a_bucket_that_is_not_there_is_told(s3: S3Server) -> None:
    with pytest.raises((ObjectStoreFailure, ObjectNotFound)):
        s3.stores.put("s3://other/x", b"x")


def test_the_longest_prefix_counts(s3: S3Server) -> None:
    nowhere = StoreSettings(endpoint="http://127.0.0.1:9", region="us-east-1", anonymous=True, retry_seconds=0)
    stores = ObjectStores({"s3": nowhere, "s3://runs/far": s3.settings, "s3://runs/far/away": nowhere})
    stores.put(f"{s3.url}/far/x", b"x")
    for other in ("s3://runs/farther", "s3://runs/far/away/x", "s3://other/far/x"):
        with pytest.raises(ObjectStoreFailure):
            stores.head(other)


def test_a_server_that_is_away_is_waited_for_and_told(s3: S3Server) -> None:
    stores, url = s3.stores, f"{s3.url}/away"
    stores.put(url, b"x")
    s3.stop()
    try:
        with pytest.raises(ObjectStoreFailure, match="does not do what it was asked") as away:
            stores.head(url)
        assert "Debug" not in str(away.value)
    finally:
        s3.start()
    assert content(stores, url) == b"x"


def test_settings_are_for_their_kind_of_store() -> None:
    for prefix, settings, problem in (
        ("s3", StoreSettings(account="x"), "account is for az: stores only"),
        ("gs", StoreSettings(region="x"), "region is for s3: stores only"),
        ("ftp", StoreSettings(), "a store is named by az, gs, s3"),
        ("s3:/runs", StoreSettings(), "a store is named by"),
        ("s3://", StoreSettings(), "a store is named by"),
    ):
        with pytest.raises(SettingsError, match=problem):
            ObjectStores({prefix: settings})


def test_there_are_never_more_parts_than_a_store_takes() -> None:
    assert part_size(5 * 1024**4) * 10_000 >= 5 * 1024**4
    assert part_size(1024**3) == PART


def test_the_doctor_tries_each_storage_both_ways_and_leaves_nothing(s3: S3Server, tmp_path: Path) -> None:
    server = '[tes.far]\nurl = "http://far/v1"\nstorage = "s3://runs/doctor"\n'
    (tmp_path / "wes.toml").write_text(server + s3.table)
    (good,) = storages(read_settings(config=tmp_path / "wes.toml"))
    assert (good.ok, good.found) == (True, "s3://runs/doctor can be written and read")
    assert not [key for key in s3.keys() if key.startswith("doctor")]  # noqa: SIM118 - no mapping
    (tmp_path / "wes.toml").write_text(server.replace("s3://runs", "s3://elsewhere") + s3.table)
    (bad,) = storages(read_settings(config=tmp_path / "wes.toml"))
    assert (bad.ok, "s3://elsewhere" in bad.found, bad.fix) == (False, True, "see docs/tes.md")
