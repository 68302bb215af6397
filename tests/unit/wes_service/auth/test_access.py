import pytest

from common.errors import Unauthorized
from wes_service.auth.access import TOKEN_OWNER, BearerAuth
from wes_service.core.run import ANONYMOUS


@pytest.mark.parametrize("header", [None, "", "Bearer x", "Basic x"])
def test_without_a_token_everybody_is_anonymous(header: str | None) -> None:
    assert BearerAuth(token=None).owner(header) == ANONYMOUS


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", " Bearer  abc "])
def test_the_token_makes_its_owner(header: str) -> None:
    assert BearerAuth(token="abc").owner(header) == TOKEN_OWNER


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ab", "Bearer abcd", "Basic abc", "abc", "Bearer \xff\ud800"]
)
def test_anything_else_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthorized):
        BearerAuth(token="abc").owner(header)


def test_the_token_is_not_shown() -> None:
    assert "abc" not in repr(BearerAuth(token="abc"))
