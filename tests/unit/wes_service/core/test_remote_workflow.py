import pytest

from common.errors import InvalidField
from wes_service.core.workflow import RepositoryFile, WebDocument, remote_workflow, split_revision


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
