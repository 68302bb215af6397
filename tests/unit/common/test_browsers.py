import pytest

from common.browsers import BrowserPolicy, is_loopback, policy

OPEN = policy(token=False, origins=("*",), host="127.0.0.1", public_url="")
NAMED = policy(token=False, origins=("https://good",), host="127.0.0.1", public_url="https://wes.example/x")
GUARDED = policy(token=True, origins=("*",), host="0.0.0.0", public_url="")
OWN = "http://localhost:8080"


@pytest.mark.parametrize("name", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_every_name_of_this_machine(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name", ["", "localhost.evil.example", "evillocalhost", "128.0.0.1", "10.0.0.1", "::2", "127.0.0.1.x"]
)
def test_other_names_are_not(name: str) -> None:
    assert not is_loopback(name)


def test_a_configured_name_is_known_beside_loopback() -> None:
    assert NAMED.knows_host("wes.example:443")
    assert not OPEN.knows_host("wes.example")
    assert GUARDED.knows_host("anything")


@pytest.mark.parametrize(
    ("rules", "origin", "read", "write"),
    [
        (OPEN, OWN, False, True),
        (OPEN, "*", False, False),
        (OPEN, "http://localhost:3000", False, False),
        (OPEN, "https://evil", False, False),
        (OPEN, "null", False, False),
        (NAMED, "https://good", True, True),
        (NAMED, "https://good.evil", False, False),
        (GUARDED, "https://any", True, True),
        (GUARDED, "null", True, True),
    ],
)
def test_origins_may_read_and_write_as_far_as_is_safe(
    rules: BrowserPolicy, origin: str, read: bool, write: bool
) -> None:
    assert rules.lets_read(origin) is read
    assert rules.lets_write(origin, None, OWN) is write


def test_a_program_without_an_origin_may_write_and_a_page_that_hides_it_may_not() -> None:
    assert OPEN.lets_write(None, None, OWN)
    assert OPEN.lets_write(None, "same-origin", OWN)
    assert not OPEN.lets_write(None, "cross-site", OWN)
