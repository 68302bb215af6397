"""Saves output files: streamed, checked against their sums, and in place only when whole."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from wes_cli.client import WesClient
from wes_cli.errors import ClientError, Unusable
from wes_cli.output_files import OutputFile

CHUNK = 1024 * 1024
PREFERRED = ("sha256", "sha1")


def fetch_all(client: WesClient, files: Sequence[OutputFile], folder: Path, *, force: bool) -> list[Path]:
    """The saved paths. A file that is there already with the right sum is kept; one that differs is an `Unusable`
    unless `force`."""
    return [_fetch(client, file, folder / file.path, force=force) for file in files]


def _fetch(client: WesClient, file: OutputFile, target: Path, *, force: bool) -> Path:
    if target.exists() and not force:
        if _is_same(file, target):
            return target
        raise Unusable(f"{target} exists and is another file: use --force to replace it, or another folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        try:
            _save(client, file, part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ClientError(f"{target} can't be written: {error.strerror}") from None
    return target


def _save(client: WesClient, file: OutputFile, part: Path) -> None:
    algorithm = _algorithm(file)
    digest, count = hashlib.new(algorithm, usedforsecurity=False), 0
    with part.open("wb") as target:
        for chunk in client.content(file.url):
            target.write(chunk)
            digest.update(chunk)
            count += len(chunk)
    if file.size is not None and count != file.size:
        raise ClientError(f"{file.url} holds {count} bytes, but its run says {file.size}: try again")
    wanted = file.sums.get(algorithm)
    if wanted is not None and digest.hexdigest() != wanted:
        raise ClientError(f"{file.url} does not have the {algorithm} sum that its run says: try again")


def _is_same(file: OutputFile, path: Path) -> bool:
    algorithm = _algorithm(file)
    if algorithm not in file.sums or not path.is_file():
        return False
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == file.sums[algorithm]


def _algorithm(file: OutputFile) -> str:
    return next((name for name in PREFERRED if name in file.sums), "sha256")
