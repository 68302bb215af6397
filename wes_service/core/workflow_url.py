"""What a `workflow_url` means. The API asks when a run is submitted, the worker when it prepares it. Pure."""

import posixpath
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from common.errors import InvalidField
from wes_service.core.remote_workflow import FIELD, RemoteWorkflow, RepositoryFile, remote_workflow

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


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
    return next((candidate for candidate in _readings(url) if candidate.name in attachments), None)


def _readings(url: str) -> Iterator[AttachedWorkflow]:
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
