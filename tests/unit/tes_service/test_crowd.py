from tes_service.copying import CROWD, crowded_folders


def _many(folder: str, count: int = CROWD + 1) -> list[str]:
    return [f"{folder}/{number}/file" for number in range(count)]


def test_few_files_are_no_crowd() -> None:
    assert crowded_folders(_many("/in", CROWD)) == ()


def test_the_deepest_folder_that_holds_them_all_is_the_crowded_one() -> None:
    assert crowded_folders(_many("/var/lib/cwl")) == ("/var/lib/cwl",)
    assert crowded_folders([*_many("/var/lib/cwl"), "/var/x/y"]) == ("/var",)


def test_folders_far_from_each_other_are_told_apart() -> None:
    assert crowded_folders([*_many("/a/b"), *_many("/c"), "/d/x"]) == ("/a/b", "/c")


def test_the_root_is_never_taken() -> None:
    assert crowded_folders(f"/file-{number}" for number in range(CROWD * 2)) == ()
