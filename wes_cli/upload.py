"""Sends a workflow with its files to a server."""

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from common.json_types import JsonObject
from wes_cli.bundle import Bundle
from wes_cli.errors import ClientError, InvalidArgument
from wes_cli.views import ServiceView
from wes_service.languages.sources import LANGUAGES

DEFAULT_VERSIONS = {"NFL": "DSL2"}


def form_fields(
    *,
    params: JsonObject,
    tags: Mapping[str, str],
    engine: str | None,
    engine_version: str | None,
    engine_parameters: Mapping[str, str],
) -> dict[str, str]:
    """The optional fields, without those that are not set."""
    fields = {"workflow_params": _json(params)}
    if tags:
        fields["tags"] = _json(tags)
    if engine:
        fields["workflow_engine"] = engine
    if engine_version:
        fields["workflow_engine_version"] = engine_version
    if engine_parameters:
        fields["workflow_engine_parameters"] = _json(engine_parameters)
    return fields


def language_fields(
    info: ServiceView, bundle: Bundle, type_name: str | None, type_version: str | None
) -> dict[str, str]:
    """The fields that every submission has, by what the workflow says and the server lists; `InvalidArgument`."""
    if bundle.language is None:
        raise InvalidArgument(f"the name of {bundle.workflow_url} does not tell its language: say it with --type")
    name = type_name or workflow_type(bundle.language, info)
    version = type_version or bundle.version or workflow_type_version(name, bundle.language, info)
    return {"workflow_type": name, "workflow_type_version": version, "workflow_url": bundle.workflow_url}


def workflow_type(language: str, info: ServiceView) -> str:
    """The name that this server has for a language; our own where it lists none."""
    names = LANGUAGES[language].names if language in LANGUAGES else (language.upper(),)
    return next((listed for listed in info.types if listed.upper() in names), language)


def workflow_type_version(name: str, language: str, info: ServiceView) -> str:
    """For a document that declares none: the newest that the server lists; `InvalidArgument` where it lists none."""
    listed = next((versions for key, versions in info.types.items() if key.upper() == name.upper()), ())
    if listed:
        return max(listed, key=_order)
    if language in DEFAULT_VERSIONS:
        return DEFAULT_VERSIONS[language]
    raise InvalidArgument(f"the server lists no version of {name}: say it with --type-version")


def _order(version: str) -> tuple[tuple[int, int | str], ...]:
    """Numbers by value, so that 9 comes before 10; words before numbers, so that `draft-2` comes before `1.0`."""
    parts = version.lower().lstrip("v").replace("-", ".").split(".")
    return tuple((1, int(part)) if part.isdigit() else (0, part) for part in parts)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


BAR_FROM_BYTES = 8 * 1024 * 1024


class LazyFile(io.RawIOBase):
    """Opens its file at the first read, so that a folder of 10,000 files needs one descriptor.

    Its size is fixed when it is made: a file that has become shorter since is a `ClientError`, as the request's length
    has been announced.
    """

    def __init__(self, path: Path, advance: Callable[[int], None]) -> None:
        super().__init__()
        try:
            self.size = path.stat().st_size
            with path.open("rb"):
                pass
        except OSError as error:
            raise InvalidArgument(f"{path} can't be read: {error.strerror}") from None
        self._path = path
        self._advance = advance
        self._position = 0
        self._file: BinaryIO | None = None

    @property
    def is_open(self) -> bool:
        """Whether it holds a descriptor now."""
        return self._file is not None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = base + offset
        self._drop()
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = self.size - self._position
        count = left if size is None or size < 0 else min(size, left)
        if count <= 0:
            self._drop()
            return b""
        if self._file is None:
            self._file = self._path.open("rb")
            self._file.seek(self._position)
        chunk = self._file.read(count)
        if not chunk:
            raise ClientError(f"{self._path} became shorter while it was uploaded")
        self._position += len(chunk)
        self._advance(len(chunk))
        return chunk

    def close(self) -> None:
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


@contextmanager
def open_attachments(attachments: Mapping[str, Path], *, bar: bool) -> Iterator[dict[str, BinaryIO]]:
    """The attachments as files to send; with a progress bar on stderr where `bar` says so and there is much to send."""
    sent: list[Callable[[int], None]] = []

    def advance(count: int) -> None:
        for tell in sent:
            tell(count)

    files = {name: LazyFile(path, advance) for name, path in attachments.items()}
    total = sum(file.size for file in files.values())
    try:
        if not bar or total < BAR_FROM_BYTES:
            yield cast("dict[str, BinaryIO]", files)
        else:
            with _bar(total) as tell:
                sent.append(tell)
                yield cast("dict[str, BinaryIO]", files)
    finally:
        for file in files.values():
            file.close()


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress("uploading", *columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.advance(task, count)
