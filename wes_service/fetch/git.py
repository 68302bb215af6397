"""Git's own protocol over the guarded client; dulwich speaks it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from dulwich.client import AbstractHttpGitClient
from dulwich.errors import NotGitRepository

from wes_service.fetch.web import Answer, Web

GIT = "application/x-git-"
REFS = "/info/refs?"


@dataclass(kw_only=True)
class _Response:
    """What dulwich looks at; it reads the body by a function of its own."""

    content_type: str
    redirect_location: str
    status: int
    stack: ExitStack

    def close(self) -> None:
        self.stack.close()


class GuardedGit(AbstractHttpGitClient):
    """Git over the guarded client."""

    def __init__(self, url: str, web: Web) -> None:
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
            if answer is not None and REFS in url and not _kind(answer).startswith(GIT):
                # Not only a web page: a server of plain files is asked for each object, which has no end.
                raise NotGitRepository
            response = _Response(
                content_type=_kind(answer) if answer else "",
                redirect_location=answer.url if answer and answer.url != url else "",
                status=200 if answer else 404,
                stack=stack.pop_all(),
            )
        return response, _reader(answer.body if answer else iter(()))


def _kind(answer: Answer) -> str:
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
