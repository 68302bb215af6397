"""`wes outputs`: lists the outputs of a run, or downloads and checks them."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from common.json_types import Json, JsonObject
from wes_cli.client import WesClient, connect
from wes_cli.display import clean, size, table
from wes_cli.errors import ClientError, InvalidArgument
from wes_cli.ls import find_run_id
from wes_cli.options import DEFAULT_SERVER, AsJson, RunId, Server, TokenFile
from wes_cli.views import ENDED, SUCCESS, RunView

CHUNK = 1024 * 1024
PREFERRED = ("sha256", "sha1")


@dataclass(frozen=True, kw_only=True)
class DownloadFile:
    """`path` is where it is saved, relative; `sums` are checksums in hexadecimal by algorithm, as far as given."""

    name: str
    path: PurePosixPath
    url: str
    size: int | None = None
    sums: Mapping[str, str]


def download_all(client: WesClient, files: Sequence[DownloadFile], folder: Path, *, force: bool) -> list[Path]:
    """The saved paths. A file that is there already with the right sum is kept; another file of that name is an
    `InvalidArgument` unless `force`."""
    return [_fetch(client, file, folder / file.path, force=force) for file in files]


def _fetch(client: WesClient, file: DownloadFile, target: Path, *, force: bool) -> Path:
    if target.exists() and not force:
        if _is_same(file, target):
            return target
        raise InvalidArgument(f"{target} exists and is another file: use --force to replace it, or another folder")
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


def _save(client: WesClient, file: DownloadFile, part: Path) -> None:
    algorithm = _algorithm(file)
    digest, count = hashlib.new(algorithm, usedforsecurity=False), 0
    with part.open("wb") as target:
        for chunk in client.content(file.url):
            target.write(chunk)
            digest.update(chunk)
            count += len(chunk)
    if file.size is not None and count != file.size:
        raise ClientError(f"{file.url} holds {count} bytes, but its run says {file.size}: try again")
    expected = file.sums.get(algorithm)
    if expected is not None and digest.hexdigest() != expected:
        raise ClientError(f"{file.url} does not have the {algorithm} sum that its run says: try again")


def _is_same(file: DownloadFile, path: Path) -> bool:
    algorithm = _algorithm(file)
    if algorithm not in file.sums or not path.is_file():
        return False
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == file.sums[algorithm]


def _algorithm(file: DownloadFile) -> str:
    return next((name for name in PREFERRED if name in file.sums), "sha256")


def output_files(outputs: JsonObject) -> list[DownloadFile]:
    """Every file of an output object, in its order, no two saved at the same place.

    An output that is named by its path (as with Snakemake and Nextflow) keeps its folders.
    """
    found = [file for name, value in outputs.items() for file in _files(name, value, _folder_of(name, value))]
    return list(_with_distinct_paths(found))


def plain_values(outputs: JsonObject) -> list[tuple[str, str]]:
    """The outputs that are no files, as text."""
    return [(name, _text(value)) for name, value in outputs.items() if not list(_files(name, value, PurePosixPath()))]


def _text(value: Json) -> str:
    """Strings as they are, an empty folder by its name, all else as JSON."""
    if isinstance(value, Mapping) and value.get("class") == "Directory":
        return f"{basename_of(value)}/ (an empty folder)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _folder_of(name: str, value: Json) -> PurePosixPath:
    """The folders in the name of an output, where that is the path of its file."""
    path = PurePosixPath(name)
    if not isinstance(value, Mapping) or value.get("basename", _last(value.get("location"))) != path.name:
        return PurePosixPath()
    return PurePosixPath(*(_safe(part) for part in path.parts[:-1] if part != "/"))


def _files(name: str, value: Json, folder: PurePosixPath) -> Iterator[DownloadFile]:
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        yield DownloadFile(name=name, path=folder / _last(value), url=value, sums={})
    elif isinstance(value, Mapping):
        yield from _object(name, value, folder)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _files(name, item, folder)


def _object(name: str, value: JsonObject, folder: PurePosixPath) -> Iterator[DownloadFile]:
    location = value.get("location")
    basename = basename_of(value)
    if value.get("class") == "File":
        if isinstance(location, str):
            size = value.get("size")
            yield DownloadFile(
                name=name,
                path=folder / basename,
                url=location,
                size=size if isinstance(size, int) else None,
                sums=checksums(value),
            )
        yield from _files(name, value.get("secondaryFiles"), folder)
    elif value.get("class") == "Directory":
        yield from _files(name, value.get("listing"), folder / basename)
    else:
        for item in value.values():
            yield from _files(name, item, folder)


def basename_of(value: JsonObject) -> str:
    """The base name of a File or Directory as a single file name, whatever the server calls it."""
    return _safe(value.get("basename") or _last(value.get("location")))


def checksums(value: JsonObject) -> dict[str, str]:
    """Checksums of a File in hexadecimal by algorithm, as far as given."""
    sums: dict[str, str] = {}
    checksum, sha256 = value.get("checksum"), value.get("sha256")
    if isinstance(checksum, str) and checksum.startswith("sha1$"):
        sums["sha1"] = checksum.removeprefix("sha1$")
    if isinstance(sha256, str):
        sums["sha256"] = sha256
    return sums


def _last(url: Json) -> str:
    return _safe(unquote(PurePosixPath(urlsplit(url).path).name)) if isinstance(url, str) else "output"


def _safe(name: Json) -> str:
    """A single file name, whatever the server calls it."""
    text = str(name).replace("/", "_").replace("\0", "_")
    return text if text not in {"", ".", ".."} else "output"


def _with_distinct_paths(files: Sequence[DownloadFile]) -> Iterator[DownloadFile]:
    """Two files of the same name: the later one goes into a folder named after its output, numbered where needed."""
    taken: set[PurePosixPath] = set()
    for file in files:
        path, number = file.path, 1
        while path in taken:
            suffix = "" if number == 1 else f"-{number}"
            path, number = PurePosixPath(_safe(file.name) + suffix) / file.path, number + 1
        taken.add(path)
        yield DownloadFile(name=file.name, path=path, url=file.url, size=file.size, sums=file.sums)


Download = Annotated[
    Path | None,
    typer.Option("--download", "-d", metavar="DIR", help="Fetch the files into this folder and check their sums."),
]
Force = Annotated[bool, typer.Option("--force", help="With --download: replace files that differ.")]


def outputs(
    run: RunId = "last",
    server: Server = DEFAULT_SERVER,
    token_file: TokenFile = None,
    download: Download = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """List the outputs of a run, or download them.

    \b
    wes outputs                      of the newest run: name, size, URL
    wes outputs 01J9 -d results      fetch all files into results/
    wes outputs last --json          the output object, for a script
    """
    client = connect(server, token_file)
    view = client.run(find_run_id(client, run))
    if as_json:
        typer.echo(json.dumps(view.outputs, indent=2, ensure_ascii=False))
    else:
        print_outputs(client, view)
    if download is not None:
        save(client, view, download, force=force)


def print_outputs(client: WesClient, view: RunView) -> None:
    """The files and plain values, as a table."""
    rows = [_row(client, file) for file in output_files(view.outputs)]
    rows += [(name, "", value) for name, value in plain_values(view.outputs)]
    if rows:
        typer.echo(table(("OUTPUT", "SIZE", "WHERE"), rows))
    elif view.state not in ENDED:
        typer.echo(f"no outputs yet: the run is {view.state}", err=True)
    else:
        typer.echo("no outputs" if view.state == SUCCESS else f"no outputs: the run ended {view.state}", err=True)


def save(client: WesClient, view: RunView, folder: Path, *, force: bool) -> list[Path]:
    """Downloads every output file into `folder` and says where each one is."""
    saved = download_all(client, output_files(view.outputs), folder, force=force)
    for path in saved:
        typer.echo(clean(str(path)))
    return saved


def _row(client: WesClient, file: DownloadFile) -> tuple[str, str, str]:
    return file.name, "" if file.size is None else size(file.size), client.absolute(file.url)
