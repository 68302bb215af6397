"""Runtime sections as TES resources, the standard's words and Cromwell's, without miniwdl."""

import pytest

from engines.wdl.executor.runtime import disks_of, gpu_count, resources_of, return_codes, volumes_of

GIB = 2**30


@pytest.mark.parametrize(
    ("disks", "size"),
    [
        (100, 100 * GIB),
        ("100", 100 * GIB),
        ("10 GiB", 10 * GIB),
        ("10GB", 10**10),
        ("local-disk 100 SSD", 100 * GIB),
        ("/mnt/data1 1.5 TB", 1_500_000_000_000),
        (["local-disk 1 HDD", "/mnt/x 1 GiB"], 2 * GIB),
        ("local-disk 1 SSD, /mnt/x 2 HDD", 3 * GIB),
        ("512 B", 512),
    ],
)
def test_sizes_of_disks(disks: object, size: int) -> None:
    assert sum(disk.size for disk in disks_of(disks)) == size


@pytest.mark.parametrize("disks", ["many", "local-disk SSD", "10 parsecs", [""], None])
def test_what_is_no_size_is_said(disks: object) -> None:
    with pytest.raises(ValueError, match="not a size"):
        disks_of(disks)


@pytest.mark.parametrize("disks", ["/ 10 SSD", "/mnt/../etc 10 SSD", "// 1"])
def test_nothing_is_mounted_in_place_of_the_root_or_by_way_of_parents(disks: str) -> None:
    with pytest.raises(ValueError, match="nothing can be mounted at /"):
        disks_of(disks)


@pytest.mark.parametrize(
    ("disks", "volumes"),
    [
        ("/mnt/data 100 SSD", ("/mnt/data",)),
        ("local-disk 10 SSD, /mnt/a 1 SSD, /mnt/b 2 HDD, /mnt/a 1 SSD", ("/mnt/a", "/mnt/b")),
        (["/cromwell_root 10 GiB", "5 GiB"], ("/cromwell_root",)),
        ("local-disk 10 SSD", ()),
        (10, ()),
    ],
)
def test_disks_with_a_mount_point_are_volumes(disks: object, volumes: tuple[str, ...]) -> None:
    assert volumes_of({"disks": disks}) == volumes


def test_only_what_is_asked_for_is_a_resource() -> None:
    assert resources_of({"docker": "x"}, 1) == {}
    assert volumes_of({"docker": "x"}) == ()
    asked = {"cpu": 2, "memory_reservation": 2 * 10**9, "disks": "1 GB", "zones": ["a"], "preemptible": 1, "gpu": 2}
    first = {
        "cpu_cores": 2,
        "ram_gb": 2.0,
        "disk_gb": 1.0,
        "zones": ["a"],
        "preemptible": True,
        "backend_parameters": {"gpu": "2"},
    }
    assert resources_of(asked, 1) == first
    assert resources_of(asked, 2) == {**first, "preemptible": False}
    assert resources_of({"gpu": 0}, 1) == {}


@pytest.mark.parametrize(
    ("gpu", "count", "gpus"),
    [
        (True, None, 1),
        (False, None, 0),
        (2, None, 2),
        (None, 3, 3),
        (None, "4", 4),
        (True, 2, 2),
        (False, 2, 0),
        (None, None, 0),
    ],
)
def test_graphics_cards_are_counted_by_the_standards_word_and_cromwells(gpu: object, count: object, gpus: int) -> None:
    assert gpu_count(gpu, count) == gpus


@pytest.mark.parametrize(("gpu", "count", "name"), [("yes", None, "gpu, yes"), (None, "a few", "gpuCount, a few")])
def test_what_is_no_number_of_graphics_cards_is_said(gpu: object, count: object, name: str) -> None:
    with pytest.raises(ValueError, match=f"invalid setting of runtime.{name}"):
        gpu_count(gpu, count)


@pytest.mark.parametrize(
    ("given", "codes"),
    [(True, "*"), (False, 0), ("true", "*"), ("False", 0), (3, 3), ([0, 3], [0, 3]), ("*", "*")],
)
def test_continue_on_return_code_is_cromwells_word_for_return_codes(given: object, codes: object) -> None:
    assert return_codes(given) == codes
