import pytest

from wes_service.core.errors import InvalidField
from wes_service.core.workflow_url import attached_workflow


@pytest.mark.parametrize(
    ("url", "name", "fragment"),
    [
        ("a.cwl", "a.cwl", None),
        ("./a.cwl", "a.cwl", None),
        ("a.cwl#main", "a.cwl", "main"),
        ("./sub//b.cwl#main/step", "sub/b.cwl", "main/step"),
        ("a.cwl#", "a.cwl", None),
        ("c%23d.cwl", "c#d.cwl", None),
        ("c#d.cwl", "c#d.cwl", None),
        ("c#d.cwl#main", "c", "d.cwl#main"),
        ("100%25.cwl", "100%25.cwl", None),
        ("x y.cwl", "x y.cwl", None),
        ("x%20y.cwl", "x y.cwl", None),
    ],
)
def test_a_url_names_an_attachment_and_a_part_of_it(url: str, name: str, fragment: str | None) -> None:
    found = attached_workflow(url, ["a.cwl", "sub/b.cwl", "c", "c#d.cwl", "100%25.cwl", "x y.cwl"])
    assert (found.name, found.fragment) == (name, fragment)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://u:p@h/a.cwl", "not fetched"),
        ("git@host:repo", "among the attachments"),
        ("file:///a.cwl", "paths of this machine"),
        ("FILE:a.cwl", "paths of this machine"),
        ("/a.cwl", "paths of this machine"),
        ("../a.cwl", "among the attachments"),
        ("b.cwl", "'a.cwl'"),
    ],
)
def test_what_is_no_attachment_is_refused_with_a_hint(url: str, hint: str) -> None:
    with pytest.raises(InvalidField, match=hint) as refused:
        attached_workflow(url, ["a.cwl"])
    assert refused.value.field == "workflow_url"
    assert "u:p" not in str(refused.value)


def test_without_attachments_the_message_says_to_send_one() -> None:
    with pytest.raises(InvalidField, match="there is no workflow_attachment"):
        attached_workflow("a.cwl", [])


def test_a_message_names_ten_attachments_at_most() -> None:
    with pytest.raises(InvalidField) as refused:
        attached_workflow("x", [f"f{number}" for number in range(1000)])
    assert len(str(refused.value)) < 200
