"""Where a task's inputs lie in its container."""

import time
from pathlib import Path

from engines.wdl.executor.localization import INPUTS, identity, localized
from tests.unit.engines.wdl.conftest import write


def test_files_of_different_names_lie_in_one_folder(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a" / "x.bam"), write(tmp_path / "b" / "x.bam.bai")
    assert localized([two, one], {}) == {one: f"{INPUTS}/0/x.bam", two: f"{INPUTS}/0/x.bam.bai"}


def test_files_of_the_same_folder_stay_together_where_names_collide(tmp_path: Path) -> None:
    paths = [write(tmp_path / folder / name) for folder in "ab" for name in ("x.bam", "x.bai")]
    links = []
    for number, path in enumerate(paths):
        link = tmp_path / "out" / str(number) / Path(path).name
        link.parent.mkdir(parents=True)
        link.symlink_to(path)
        links.append(str(link))
    found = localized(links, {})
    folders = [found[link].rpartition("/")[0] for link in links]
    assert folders[0] == folders[1] != folders[2] == folders[3]
    assert len(set(found.values())) == 4


def test_one_file_under_two_links_of_its_name_is_placed_twice(tmp_path: Path) -> None:
    real = write(tmp_path / "real" / "x")
    links = []
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").symlink_to(real)
        links.append(str(tmp_path / name / "x"))
    assert len(set(localized(links, {}).values())) == 2


def test_what_is_known_keeps_its_place_and_new_ones_go_elsewhere(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a" / "x"), write(tmp_path / "b" / "x")
    first = localized([one], {})
    second = localized([one, two], first)
    assert second[one] == first[one]
    assert second[two] == f"{INPUTS}/1/x"


def test_thousands_of_files_of_one_name_are_placed_quickly(tmp_path: Path) -> None:
    paths = [f"{tmp_path}/{number}/x" for number in range(5000)]
    began = time.monotonic()
    found = localized(paths, {})
    assert time.monotonic() - began < 60
    assert len(set(found.values())) == 5000


def test_folders_and_urls_are_placed_like_files() -> None:
    found = localized(["/data/dir/", "https://example.org/x/ref.fa?a=1"], {})
    assert found["/data/dir/"] == f"{INPUTS}/0/dir/"
    assert found["https://example.org/x/ref.fa?a=1"] == f"{INPUTS}/0/ref.fa?a=1"


def test_made_files_have_names_that_depend_on_their_content_alone(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1" / "write_" / "tmpabc", "same"), write(tmp_path / "2" / "write_" / "tmpxyz", "same")
    assert list(localized([one], {}).values()) == list(localized([two], {}).values())
    assert identity(one) == identity(two)
    assert identity(write(tmp_path / "write_" / "t", "other")) != identity(one)
