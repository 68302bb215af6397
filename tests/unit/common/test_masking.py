import pytest

from common.json_types import Json
from common.masking import bare_url, masked, masked_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://ann:pw@host/a", "https://***@host/a"),
        ("https://token@host:8000/a?b=1", "https://***@host:8000/a?b=1"),
        ("s3://b/a?X-Amz-Signature=abc&X-Amz-Date=1", "s3://b/a?X-Amz-Signature=***&X-Amz-Date=1"),
        ("https://h/a?sig=abc%3D#x", "https://h/a?sig=***#x"),
        (
            "fetch https://a:b@h/x, then https://h/y?access_token=z failed",
            "fetch https://***@h/x, then https://h/y?access_token=*** failed",
        ),
        ("https://host/a@b", "https://host/a@b"),
        ("https://host/?key=1&monkey=2", "https://host/?key=***&monkey=2"),
        ("ann:pw@host", "ann:pw@host"),
        ("no url at all", "no url at all"),
    ],
)
def test_a_url_in_a_text_loses_its_credentials_and_keeps_the_rest(text: str, expected: str) -> None:
    assert masked_text(text) == expected


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PASSWORD",
        "db_password",
        "api_key",
        "apikey",
        "AWS_SECRET_ACCESS_KEY",
        "aws_access_key_id",
        "token",
        "GITHUB_TOKEN",
        "Authorization",
        "client-secret",
    ],
)
def test_a_value_whose_name_says_secret_is_masked(name: str) -> None:
    assert masked({name: "hunter2"}) == {name: "***"}


@pytest.mark.parametrize("name", ["tokenizer", "keyword", "secretary", "n_tokens", "passwords_file", "key"])
def test_a_value_whose_name_only_looks_like_one_is_shown(name: str) -> None:
    assert masked({name: "value"}) == {name: "value"}


@pytest.mark.parametrize(
    "value", [None, True, 1, 1.5, "text", [], {}, [1, {"a": [None]}], {"token": 3, "password": ""}]
)
def test_what_holds_no_secret_is_unchanged(value: Json) -> None:
    assert masked(value) == value


def test_secrets_are_found_at_any_depth() -> None:
    assert masked({"a": [{"b": {"password": "x", "urls": ["https://u:p@h/"]}}]}) == {
        "a": [{"b": {"password": "***", "urls": ["https://***@h/"]}}]
    }


def test_a_bare_url_is_scheme_host_and_path() -> None:
    assert bare_url("https://ann:pw@host:8000/a/b?c=d#e") == "https://host:8000/a/b"
