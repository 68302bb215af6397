"""A `workflow_url` that has to be fetched: a document on the web, or a file of a git repository. Pure."""

import posixpath
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote

from common.errors import InvalidField
from common.urls import check_authority, split_url

FIELD = "workflow_url"
SCHEMES = ("http", "https", "git+https", "git+http")
_LATER = frozenset({"trs", "drs", "s3", "gs"})
_LINES = re.compile(r"L\d+(-L?\d+)?")
"""What the web pages of GitHub and GitLab add to mark lines."""
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_GITHUB = frozenset({"github.com", "www.github.com"})
_GITHUB_RAW = "raw.githubusercontent.com"


@dataclass(frozen=True, kw_only=True)
class WebDocument:
    """A document at an http(s) URL, which has no fragment; `fragment` is what followed `#`, or None."""

    url: str
    fragment: str | None = None


@dataclass(frozen=True, kw_only=True)
class RepositoryFile:
    """A file of a git repository.

    `repository` is its http(s) URL. `revision`: a branch, tag or commit, None for the default branch. In a link of
    GitHub or GitLab nothing tells where a revision such as `feature/x` ends: `linked` is true then, `revision` None,
    and `path` begins with the revision; see `split_revision`.
    """

    repository: str
    path: str
    revision: str | None = None
    linked: bool = False
    fragment: str | None = None


RemoteWorkflow = WebDocument | RepositoryFile


def remote_workflow(url: str) -> RemoteWorkflow:
    """`InvalidField` for a URL that is not fetched here, or never could be; no secret of it is repeated."""
    try:
        parts = split_url(url)
        scheme = parts.scheme.lower()
        if scheme not in SCHEMES:
            raise InvalidField(FIELD, _scheme_problem(scheme))
        check_authority(parts)
    except ValueError as error:
        raise InvalidField(FIELD, str(error)) from None
    if scheme.startswith("git+"):
        return _repository(parts)
    return _link(parts) or WebDocument(
        url=parts._replace(scheme=scheme, fragment="").geturl(), fragment=unquote(parts.fragment) or None
    )


def split_revision(path: str, names: Collection[str]) -> tuple[str, str] | None:
    """Revision and path of a link's `path`, by the names of all branches and tags: the longest that fits, else a
    commit; None where neither does."""
    segments = path.split("/")
    for count in range(len(segments) - 1, 0, -1):
        name = "/".join(segments[:count])
        if name in names:
            return name, "/".join(segments[count:])
    if len(segments) > 1 and is_commit(segments[0]):
        return segments[0], "/".join(segments[1:])
    return None


def is_commit(revision: str) -> bool:
    """Whether it could be the (abbreviated) id of a commit."""
    return _COMMIT.fullmatch(revision) is not None


def _scheme_problem(scheme: str) -> str:
    fetched = "http://, https:// and git+https:// URLs are fetched, and attachments are named by a relative URL"
    if scheme in _LATER:
        return f"{scheme}: is not supported here yet; {fetched}"
    return f"{scheme}: URLs are not fetched; {fetched}"


def _repository(parts: SplitResult) -> RepositoryFile:
    """`git+https://HOST/REPOSITORY[@REVISION]#PATH[#FRAGMENT]`."""
    address, mark, revision = parts.path.rpartition("@")
    if not mark:
        address, revision = parts.path, ""
    if mark and not revision:
        raise InvalidField(FIELD, "a branch, tag or commit is missing after the '@'")
    path, _, fragment = parts.fragment.partition("#")
    example = "git+https://HOST/REPOSITORY@REVISION#workflows/main.cwl"
    if not address.strip("/") or parts.query:
        raise InvalidField(FIELD, f"a git repository is written as {example}")
    if not path:
        raise InvalidField(FIELD, f"the workflow's path in the repository is missing: {example}")
    return RepositoryFile(
        repository=parts._replace(
            scheme=parts.scheme.lower().removeprefix("git+"), path=address, query="", fragment=""
        ).geturl(),
        path=_inside(unquote(path)),
        revision=unquote(revision) or None,
        fragment=unquote(fragment) or None,
    )


def _link(parts: SplitResult) -> RepositoryFile | None:
    """What a link of GitHub or GitLab to one file names; None for any other URL."""
    if parts.scheme.lower() != "https" or parts.port not in {None, 443}:
        return None
    found = next(_readings(parts.hostname or "", parts.path), None)
    if found is None:
        return None
    site, project, rest = found
    fragment = "" if _LINES.fullmatch(parts.fragment) else unquote(parts.fragment)
    return RepositoryFile(
        repository=f"https://{site}/{project}", path=_inside(unquote(rest)), linked=True, fragment=fragment or None
    )


def _readings(host: str, path: str) -> Iterator[tuple[str, str, str]]:
    """Site, project, and revision with path."""
    segments = [segment for segment in path.split("/") if segment]
    if host in _GITHUB and len(segments) > 4 and segments[2] in {"blob", "raw"}:
        yield "github.com", "/".join(segments[:2]), "/".join(segments[3:])
    if host == _GITHUB_RAW and len(segments) > 3:
        yield "github.com", "/".join(segments[:2]), "/".join(segments[2:])
    project, mark, rest = path.strip("/").partition("/-/")
    kind, _, rest = rest.partition("/")
    if mark and kind in {"blob", "raw"} and "/" in project and "/" in rest:
        # No project of a GitLab is called '-', on whatever host it runs.
        yield host, project, rest


def _inside(path: str) -> str:
    plain = posixpath.normpath(path)
    if path.startswith("/") or plain == ".." or plain.startswith("../") or any(ord(c) < 32 for c in path):
        raise InvalidField(FIELD, "the path in the repository must be relative, without '..'")
    return plain
