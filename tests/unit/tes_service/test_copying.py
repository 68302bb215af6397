from tes_service.copying import MOST_FILE_MOUNTS, shared_mounts


def _many(folder: str, count: int = MOST_FILE_MOUNTS + 1) -> list[str]:
    return [f"{folder}/{number}/file" for number in range(count)]


def test_a_few_files_share_no_mount() -> None:
    assert shared_mounts(_many("/in", MOST_FILE_MOUNTS)) == ()


def test_the_deepest_folder_that_holds_them_all_is_the_one_that_is_mounted() -> None:
    assert shared_mounts(_many("/var/lib/cwl")) == ("/var/lib/cwl",)
    assert shared_mounts([*_many("/var/lib/cwl"), "/var/x/y"]) == ("/var",)


def test_folders_far_from_each_other_are_told_apart() -> None:
    assert shared_mounts([*_many("/a/b"), *_many("/c"), "/d/x"]) == ("/a/b", "/c")


def test_the_root_is_never_taken() -> None:
    assert shared_mounts(f"/file-{number}" for number in range(MOST_FILE_MOUNTS * 2)) == ()
