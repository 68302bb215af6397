import pytest

from common.json_types import BadJson, read_json


@pytest.mark.parametrize("deep", [3, 100_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_what_is_nested_too_deep_is_refused_however_deep_it_is(deep: int, left: str, right: str) -> None:
    with pytest.raises(BadJson, match="nested deeper than 2 levels"):
        read_json(left * deep + "1" + right * deep, deepest=2)
    assert read_json(left * 2 + "1" + right * 2, deepest=2) in ([[1]], {"a": {"a": 1}})


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_an_error_in_words(raw: bytes) -> None:
    with pytest.raises(BadJson):
        read_json(raw)
