import pytest

from common.errors import InvalidField
from wes_service.core.workflow import AttachedWorkflow, WebDocument, document_name, workflow_named


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
    found = workflow_named(url, ["a.cwl", "sub/b.cwl", "c", "c#d.cwl", "100%25.cwl", "x y.cwl"])
    assert found == AttachedWorkflow(name=name, fragment=fragment)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://u:p@h/a.cwl", "user name or password"),
        ("ftp://h/a.cwl", "are not fetched"),
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
        workflow_named(url, ["a.cwl"])
    assert refused.value.field == "workflow_url"
    assert "u:p" not in str(refused.value)


def test_without_attachments_the_message_says_to_send_one() -> None:
    with pytest.raises(InvalidField, match="there is no workflow_attachment"):
        workflow_named("a.cwl", [])


def test_a_message_names_ten_attachments_at_most() -> None:
    with pytest.raises(InvalidField) as refused:
        workflow_named("x", [f"f{number}" for number in range(1000)])
    assert len(str(refused.value)) < 200


def test_a_url_is_fetched_unless_an_attachment_is_called_so() -> None:
    assert workflow_named("https://h/a.cwl", ["a.cwl"]) == WebDocument(url="https://h/a.cwl")
    assert workflow_named("a:b.cwl", ["a:b.cwl"]) == AttachedWorkflow(name="a:b.cwl")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sub/a.cwl#main", "a.cwl"),
        ("https://h/x/a%20b.cwl?download=1#main", "a b.cwl"),
        ("git+https://h/r.git@v1#wf/main.nf", "main.nf"),
        ("https://github.com/o/r/blob/main/workflow/Snakefile", "Snakefile"),
        ("trs://h/tools/x.wdl", "x.wdl"),
        ("https://h/", ""),
    ],
)
def test_the_name_of_the_document_is_read_from_any_url(url: str, name: str) -> None:
    assert document_name(url) == name
