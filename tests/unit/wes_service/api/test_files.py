import pytest

from wes_service.api.errors import RangeNotSatisfiable
from wes_service.api.files import Part, media_type, wanted_part


@pytest.mark.parametrize(
    ("header", "size", "part"),
    [
        (None, 10, None),
        ("bytes=0-", 10, Part(start=0, end=10)),
        ("bytes=3-5", 10, Part(start=3, end=6)),
        ("bytes=3-50", 10, Part(start=3, end=10)),
        ("bytes=-3", 10, Part(start=7, end=10)),
        ("bytes=-30", 10, Part(start=0, end=10)),
        ("bytes=-3", 0, None),
        ("bytes=1-2,5-6", 10, None),
        ("items=1-2", 10, None),
    ],
)
def test_a_range_is_read_as_the_standard_says(header: str | None, size: int, part: Part | None) -> None:
    assert wanted_part(header, size) == part


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=11-12", 10), ("bytes=0-", 0)])
def test_a_range_after_the_end_can_not_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        wanted_part(header, size)
    assert refused.value.size == size


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.json", "application/json"),
        ("a.txt.gz", "application/octet-stream"),
        ("a.bam", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_the_media_type_is_told_by_the_name(path: str, kind: str) -> None:
    assert media_type(path) == kind
