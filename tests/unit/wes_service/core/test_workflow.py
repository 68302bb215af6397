""""""

import pytest

from common.errors import InvalidField
from wes_service.core.workflow import (
    AttachedWorkflow,
    RepositoryFile,
    WebDocument,
    document_name,
    remote_workflow,
    split_revision,
    workflow_named,
)


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


@pytest.mark.parametrize(
    ("url", "fetched", "fragment"),
    [
        ("https://example.org/a/wf.cwl", "https://example.org/a/wf.cwl", None),
        ("HTTPS://example.org/wf.cwl#main", "https://example.org/wf.cwl", "main"),
        ("http://example.org:8080/wf.cwl?v=1#a%20b", "http://example.org:8080/wf.cwl?v=1", "a b"),
        ("https://github.com/o/r", "https://github.com/o/r", None),
        ("http://github.com/o/r/blob/main/wf.cwl", "http://github.com/o/r/blob/main/wf.cwl", None),
        ("https://[2001:db8::1]/wf.cwl", "https://[2001:db8::1]/wf.cwl", None),
    ],
)
def test_a_document_of_the_web(url: str, fetched: str, fragment: str | None) -> None:
    assert remote_workflow(url) == WebDocument(url=fetched, fragment=fragment)


@pytest.mark.parametrize(
    ("url", "repository", "path", "fragment"),
    [
        ("https://github.com/o/r/blob/v1/wf/a.cwl", "https://github.com/o/r", "v1/wf/a.cwl", None),
        ("https://github.com/o/r/blob/v1/a.cwl#L10-L20", "https://github.com/o/r", "v1/a.cwl", None),
        ("https://github.com/o/r/blob/v1/a.cwl#main", "https://github.com/o/r", "v1/a.cwl", "main"),
        ("https://www.github.com/o/r/raw/v1/a%20b.cwl?raw=true", "https://github.com/o/r", "v1/a b.cwl", None),
        ("https://raw.githubusercontent.com/o/r/v1/a.cwl", "https://github.com/o/r", "v1/a.cwl", None),
        (
            "https://raw.githubusercontent.com/o/r/refs/heads/main/a.cwl",
            "https://github.com/o/r",
            "refs/heads/main/a.cwl",
            None,
        ),
        ("https://gitlab.com/g/sub/p/-/blob/main/a.nf", "https://gitlab.com/g/sub/p", "main/a.nf", None),
        ("https://gitlab.lab.org/g/p/-/raw/main/a.nf", "https://gitlab.lab.org/g/p", "main/a.nf", None),
    ],
)
def test_a_link_to_a_file_of_a_repository(url: str, repository: str, path: str, fragment: str | None) -> None:
    assert remote_workflow(url) == RepositoryFile(repository=repository, path=path, linked=True, fragment=fragment)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (
            "git+https://h/g/p.git@v1.0#wf/main.cwl",
            RepositoryFile(repository="https://h/g/p.git", revision="v1.0", path="wf/main.cwl"),
        ),
        (
            "git+https://h:8443/p@feature/x#main.cwl#part",
            RepositoryFile(repository="https://h:8443/p", revision="feature/x", path="main.cwl", fragment="part"),
        ),
        ("git+http://h/p#./a//Snakefile", RepositoryFile(repository="http://h/p", path="a/Snakefile")),
    ],
)
def test_a_git_repository(url: str, wanted: RepositoryFile) -> None:
    assert remote_workflow(url) == wanted


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("ftp://h/a", "are not fetched"),
        ("javascript:alert(1)", "are not fetched"),
        ("git+ssh://h/r@v#p", "are not fetched"),
        ("git://h/r", "are not fetched"),
        ("trs://h/a", "not supported here yet"),
        ("drs://h/a", "not supported here yet"),
        ("s3://b/a", "not supported here yet"),
        ("https://user:secret@h/a", "user name or password"),
        ("https://secret@h/a", "user name or password"),
        ("git+https://user:secret@h/a@v#p", "user name or password"),
        ("https://h:99999/a", "port"),
        ("https://h:x/a", "port"),
        ("https://h:0/a", "port"),
        ("https:///a", "no host"),
        ("https:a", "no host"),
        ("https://a..b/c", "no host"),
        ("https://%41/c", "no host"),
        ("https://[::1/a", "not a URL"),
        ("https://h/a b", "percent-encode"),
        ("https://h\\@x/a", "percent-encode"),
        ("git+https://h/r@v", "path in the repository is missing"),
        ("git+https://h/r@v#", "path in the repository is missing"),
        ("git+https://h/r@#p", "missing after the '@'"),
        ("git+https://h/@v#p", "a git repository is written as"),
        ("git+https://h/r?x=1#p", "a git repository is written as"),
        ("git+https://h/r@v#../p", "without '..'"),
        ("git+https://h/r@v#/p", "without '..'"),
        ("git+https://h/r@v#a%0ab", "without '..'"),
        ("https://github.com/o/r/blob/v1/../../../x", "without '..'"),
    ],
)
def test_what_can_not_be_fetched_is_refused_with_a_hint(url: str, hint: str) -> None:
    with pytest.raises(InvalidField, match=hint) as refused:
        remote_workflow(url)
    assert refused.value.field == "workflow_url"
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("main/wf/a.cwl", ("main", "wf/a.cwl")),
        ("feature/x/wf/a.cwl", ("feature/x", "wf/a.cwl")),
        ("refs/heads/main/a.cwl", ("refs/heads/main", "a.cwl")),
        ("0123abc/a.cwl", ("0123abc", "a.cwl")),
        ("gone/a.cwl", None),
        ("main", None),
    ],
)
def test_the_longest_branch_that_fits_is_the_revision_of_a_link(path: str, split: tuple[str, str] | None) -> None:
    assert split_revision(path, {"main", "feature", "feature/x", "refs/heads/main"}) == split
