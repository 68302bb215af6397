"""What a `workflow_url` names: an attachment, a document on the web, or a file of a git repository. Pure."""

import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from common.errors import InvalidField
from common.json_types import Json
from common.location import check_authority, split_url

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
SOURCE_FILE = "workflow-source.json"
"""Below a run's `logs`."""

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


@dataclass(frozen=True, kw_only=True)
class AttachedWorkflow:
    """The attachment's name, and what followed `#`, or None."""

    name: str
    fragment: str | None = None


def workflow_named(url: str, attachments: Collection[str]) -> AttachedWorkflow | RemoteWorkflow:
    """The attachment that `url` names, else what has to be fetched; `InvalidField` where it can be neither."""
    attached = _attached(url, attachments)
    if attached is not None:
        return attached
    if _SCHEME.match(url) and not url.lower().startswith("file:"):
        return remote_workflow(url)
    raise InvalidField(FIELD, _problem(url, attachments))


def document_name(url: str) -> str:
    """The file name of the workflow document, as far as the URL tells; empty where it does not."""
    path = url.partition("#")[0]
    if "://" in url:
        try:
            remote = remote_workflow(url)
        except InvalidField:
            pass
        else:
            path = remote.path if isinstance(remote, RepositoryFile) else unquote(urlsplit(remote.url).path)
    return posixpath.basename(path.rstrip("/"))


def _attached(url: str, attachments: Collection[str]) -> AttachedWorkflow | None:
    """`./` and percent-encoding undone."""
    return next((candidate for candidate in _spellings(url) if candidate.name in attachments), None)


def _spellings(url: str) -> Iterator[AttachedWorkflow]:
    # A name may hold '#' or '%' itself: as it is written comes first.
    path, mark, fragment = url.partition("#")
    for text, rest in ((url, None), (path, fragment if mark else None)):
        for name in (text, unquote(text)):
            if not name.startswith("/") and "\0" not in name:
                yield AttachedWorkflow(name=posixpath.normpath(name), fragment=rest or None)


def _problem(url: str, attachments: Collection[str]) -> str:
    attach = "send the workflow as a workflow_attachment and give its name"
    if url.lower().startswith("file:") or url.startswith("/"):
        return f"paths of this machine are not read; {attach}"
    if not attachments:
        return f"{url!r} is relative, and there is no workflow_attachment; {attach}"
    named = ", ".join(repr(name) for name in sorted(attachments)[:10])
    return f"{url!r} is not among the attachments, which are {named}"


@dataclass(frozen=True, kw_only=True)
class FetchRequest:
    """What to fetch for one run, and where to.

    `root`: the run's folder, whose `attachments` holds what was attached and gets what is fetched. `language`: CWL,
    SMK, NFL or WDL, which tells how a document's references are found.
    """

    workflow: RemoteWorkflow
    root: Path
    language: str


@dataclass(frozen=True, kw_only=True)
class FetchedWorkflow:
    """`name`: where the workflow document is below `attachments`. `source`: what is told of it, without secrets
    (extension field `workflow_source`). `lines`: for the run's system log."""

    name: str
    source: Mapping[str, Json] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


class WorkflowFetcher(Protocol):
    """Fetches workflows that were not attached."""

    def fetch(self, order: FetchRequest, stopped: Callable[[], bool]) -> FetchedWorkflow:
        """Puts the workflow, and what it refers to, among the attachments, owned by the foreign identity.

        What was attached stays as it is. `EngineError` where the URL is to blame, `SystemFailure` where a server or
        this service is, `FetchStopped` soon after `stopped` answers true. Where it fails nothing is left but in the
        run's folder.
        """
