"""Fetches a workflow from a git repository: finds the commit, and writes its files."""

import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dulwich.client import AbstractHttpGitClient, HTTPUnauthorized
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.object_store import DiskObjectStore, ObjectStoreGraphWalker, iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID, Tag
from dulwich.refs import Ref

from common.attachment import safe_name
from common.errors import EngineError, InvalidField
from common.json_types import Json
from common.masking import bare_url
from wes_service.core.workflow import FetchedWorkflow, RepositoryFile, is_commit, split_revision
from wes_service.fetch.attachment_tree import AttachmentTree, counted, listed
from wes_service.fetch.web import FetchedResponse, WebClient

GIT_CONTENT_TYPE = "application/x-git-"
REFS_PATH = "/info/refs?"


@dataclass(kw_only=True)
class _GitResponse:
    """What dulwich looks at; it reads the body by a function of its own."""

    content_type: str
    redirect_location: str
    status: int
    stack: ExitStack

    def close(self) -> None:
        self.stack.close()


class GuardedGitClient(AbstractHttpGitClient):
    """Git over the guarded client."""

    def __init__(self, url: str, web: WebClient) -> None:
        # Not thin: a pack has to hold all that it refers to.
        super().__init__(url, thin_packs=False, quiet=True)
        self._web = web

    def _http_request(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Any]:
        content = data if data is None or isinstance(data, bytes) else b"".join(data)
        with ExitStack() as stack:
            answer = stack.enter_context(self._web.open(url, headers=headers, content=content, missing=True))
            if answer is None and raise_for_status:
                raise NotGitRepository
            if answer is not None and REFS_PATH in url and not _kind(answer).startswith(GIT_CONTENT_TYPE):
                # Not only a web page: a server of plain files is asked for each object, which has no end.
                raise NotGitRepository
            response = _GitResponse(
                content_type=_kind(answer) if answer else "",
                redirect_location=answer.url if answer and answer.url != url else "",
                status=200 if answer else 404,
                stack=stack.pop_all(),
            )
        return response, _reader(answer.body if answer else iter(()))


def _kind(answer: FetchedResponse) -> str:
    return answer.headers.get("content-type", "")


def _reader(body: Iterator[bytes]) -> Any:
    """A `read(size)` that gives exactly so many bytes, but at the end."""
    buffer = bytearray()

    def read(size: int = -1) -> bytes:
        while size < 0 or len(buffer) < size:
            chunk = next(body, None)
            if chunk is None:
                break
            buffer.extend(chunk)
        taken = bytes(buffer if size < 0 else buffer[:size])
        del buffer[: len(taken)]
        return taken

    return read


SUBMODULE = 0o160000
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
REF_PREFIXES = [b"HEAD", b"refs/heads/", b"refs/tags/"]
MAX_DEPTH = 64
FULL_ID_LENGTH = 40


@dataclass(frozen=True, kw_only=True)
class ResolvedRevision:
    """The revision that was asked for, the object that it means (a commit or a tag), and the workflow's path."""

    revision: str
    id: ObjectID
    path: str


@dataclass(kw_only=True)
class SkippedFiles:
    """What of a repository was not written."""

    links: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    pointers: list[str] = field(default_factory=list)
    unsafe: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For the run's log, one for each kind."""
        told_of = (
            (self.modules, "Submodules are not fetched"),
            (self.pointers, "Git LFS files are not fetched, what is there only points to them"),
            (self.links, "Symlinks that lead out of the repository are left out"),
            (self.unsafe, "Files whose names can't be kept are left out"),
        )
        return [f"{text}: {listed(names)}." for names, text in told_of if names]


def fetch_repository(web: WebClient, requested: RepositoryFile, scratch: Path, tree: AttachmentTree) -> FetchedWorkflow:
    """Writes the repository, without its history, into `tree`; `scratch` is an empty folder for git's objects."""
    with ExitStack() as stores:
        store, pin = _fetched(web, requested, lambda: _opened(scratch, stores))
        commit = _commit(store, pin)
        skipped = _write_files(web, store, commit, tree)
    if not (tree.root / pin.path).is_file():
        raise EngineError(
            f"{bare_url(requested.repository)} has no file {pin.path} at {pin.revision} (commit {commit.id.decode()})"
        )
    source: dict[str, Json] = {
        "url": bare_url(requested.repository),
        "revision": commit.id.decode(),
        "requested_revision": pin.revision,
        "path": pin.path,
        "files": tree.count,
    }
    line = (
        f"The workflow is {pin.path} of {bare_url(requested.repository)} at commit {commit.id.decode()} "
        f"(asked for: {pin.revision}); {counted(tree.count)}."
    )
    return FetchedWorkflow(name=pin.path, source=source, lines=(line, *skipped.lines(), *tree.kept_lines()))


def _opened(scratch: Path, stores: ExitStack) -> DiskObjectStore:
    store = DiskObjectStore.init(tempfile.mkdtemp(dir=scratch))
    stores.callback(store.close)
    return store


def _fetched(
    web: WebClient, requested: RepositoryFile, new_store: Callable[[], DiskObjectStore]
) -> tuple[DiskObjectStore, ResolvedRevision]:
    """Only the commit itself where the server gives that; else, for a commit that no branch or tag names, all."""
    try:
        store, pin = web.tried(lambda: _attempt(web, requested, new_store(), whole=False))
        if _has(store, pin):
            return store, pin
    except GitProtocolError as error:
        if isinstance(error, HTTPUnauthorized) or not _may_be_commit(requested):
            raise EngineError(f"{bare_url(requested.repository)} can't be read as a git repository: {error}") from None
    try:
        return web.tried(lambda: _attempt(web, requested, new_store(), whole=True))
    except GitProtocolError as error:
        raise EngineError(f"{bare_url(requested.repository)} can't be read as a git repository: {error}") from None


def _attempt(
    web: WebClient, requested: RepositoryFile, store: DiskObjectStore, *, whole: bool
) -> tuple[DiskObjectStore, ResolvedRevision]:
    client = GuardedGitClient(requested.repository, web)
    pins: list[ResolvedRevision] = []

    def wants(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:  # noqa: ARG001 - as dulwich calls it
        pins.append(_resolved(requested, refs))
        if whole:
            return list(dict.fromkeys(refs.values()))
        # The beginning of an id can't be asked for.
        return [pins[0].id] if len(pins[0].id) == FULL_ID_LENGTH else []

    file, commit, abort = store.add_pack()
    try:
        client.fetch_pack(
            "",
            wants,
            ObjectStoreGraphWalker([], lambda _: []),
            file.write,
            depth=None if whole else 1,
            ref_prefix=REF_PREFIXES,
        )
    except NotGitRepository:
        abort()
        raise EngineError(
            f"{bare_url(requested.repository)} is no git repository, or not one that is open to all"
        ) from None
    except BaseException:
        abort()
        raise
    if not pins:
        abort()
        raise EngineError(f"{bare_url(requested.repository)} is empty")
    commit()
    return store, pins[0]


def _resolved(requested: RepositoryFile, refs: Mapping[Ref, ObjectID]) -> ResolvedRevision:
    """By the server's list of branches and tags."""
    names = dict(_names(refs))
    revision, path = requested.revision or "HEAD", requested.path
    if requested.linked:
        found = split_revision(requested.path, names)
        if found is None:
            raise EngineError(f"{bare_url(requested.repository)} has no branch or tag that begins {requested.path!r}")
        revision, path = found
    pinned = names.get(revision) or (ObjectID(revision.encode()) if is_commit(revision) else None)
    if pinned is None:
        raise EngineError(f"{bare_url(requested.repository)} has no branch, tag or commit {revision!r}")
    return ResolvedRevision(revision=revision, id=pinned, path=path)


def _names(refs: Mapping[Ref, ObjectID]) -> Iterator[tuple[str, ObjectID]]:
    """Whole names and short ones; where a branch and a tag have the same, the tag counts, as for git."""
    for prefix in (b"", b"refs/heads/", b"refs/tags/"):
        for name, target in refs.items():
            if name.startswith(prefix) and not name.endswith(b"^{}"):
                yield name.removeprefix(prefix).decode(errors="replace"), target


def _may_be_commit(requested: RepositoryFile) -> bool:
    return is_commit(requested.path.partition("/")[0] if requested.linked else requested.revision or "")


def _has(store: DiskObjectStore, pin: ResolvedRevision) -> bool:
    return len(pin.id) == FULL_ID_LENGTH and pin.id in store


def _commit(store: DiskObjectStore, pin: ResolvedRevision) -> Commit:
    ids = [pin.id] if len(pin.id) == FULL_ID_LENGTH else list(store.iter_prefix(pin.id))
    found = [commit for each in ids if each in store and (commit := _peeled(store, each)) is not None]
    if len(found) != 1:
        many = "several commits that begin with" if found else "no commit"
        raise EngineError(f"the repository has {many} {pin.revision}")
    return found[0]


def _peeled(store: DiskObjectStore, start: ObjectID) -> Commit | None:
    item = store[start]
    for _ in range(MAX_DEPTH):
        if not isinstance(item, Tag):
            break
        item = store[item.object[1]]
    return item if isinstance(item, Commit) else None


def _write_files(web: WebClient, store: DiskObjectStore, commit: Commit, tree: AttachmentTree) -> SkippedFiles:
    skipped = SkippedFiles()
    links: dict[str, str] = {}
    for entry in iter_tree_contents(store, commit.tree, include_trees=True, max_depth=MAX_DEPTH):
        name = entry.path.decode(errors="surrogateescape")
        if stat.S_ISDIR(entry.mode):
            web.budget.write(0)
        elif entry.mode == SUBMODULE:
            skipped.modules.append(name)
        elif not _is_safe(name):
            skipped.unsafe.append(ascii(name))
        else:
            content = _content(store, entry.sha)
            web.budget.write(len(content))
            if stat.S_ISLNK(entry.mode):
                links[name] = content.replace(b"\0", b"").decode(errors="surrogateescape")
                continue
            tree.write(name, content, executable=bool(entry.mode & 0o100))
            if content.startswith(LFS_POINTER):
                skipped.pointers.append(name)
    # Last, so that nothing is ever written through one.
    for name, target in links.items():
        tree.link(name, target)
    skipped.links += tree.checked_links()
    return skipped


def _content(store: DiskObjectStore, file: ObjectID) -> bytes:
    item = store[file]
    if not isinstance(item, Blob):
        raise EngineError("the repository is broken: a file in it is none")
    return item.as_raw_string()


def _is_safe(name: str) -> bool:
    try:
        name.encode()
        safe = safe_name(name) == name
    except (InvalidField, UnicodeError):
        return False
    return safe and all(part.lower() != ".git" for part in name.split("/"))
