import json

import pytest

from wes_service.store.rows import PARSE_CACHE_LONGEST, LazyJsonObject


@pytest.mark.parametrize("size", [1, PARSE_CACHE_LONGEST])
def test_a_lazy_object_is_what_it_was_made_of(size: int) -> None:
    document = {"a": [1, {"b": None}], "text": "x" * size}
    lazy = LazyJsonObject(json.dumps(document))
    assert lazy == document
    assert document == lazy
    assert {**lazy} == document
    assert (lazy["a"], lazy.get("a"), lazy.get("none"), lazy.get("none", 3)) == (document["a"], document["a"], None, 3)
    assert len(lazy) == 2
    assert repr(lazy) == repr(document)
    with pytest.raises(KeyError):
        lazy["none"]


def test_what_nobody_looks_into_is_not_parsed() -> None:
    LazyJsonObject("this is no JSON")
