"""What the settings of several programs have in common: lists in variables, default folders, files with secrets."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic_settings import NoDecode

from common.errors import SettingsError
from common.times import parse_span

GB = 1000**3
"""Bytes of a gigabyte, in settings and in `ram_gb` and `disk_gb` alike: the standard says GB; engines convert from
other units."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


CONTAINER_SECRETS = Path("/run/secrets")


def default_data() -> Path:
    """`/var/lib/wes-tes` for root, else the user's data folder (XDG)."""
    if os.geteuid() == 0:
        return Path("/var/lib/wes-tes")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "wes-tes"


def items(value: object) -> object:
    """The parts of a list with commas, without empty ones; any other value as it is."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / path.expanduser()


PathInFile = Annotated[Path, AfterValidator(_beside_the_file)]
"""Relative to the folder of the configuration that names it, which is the context's `folder`."""


def _checked_span(text: str) -> str:
    if text and parse_span(text) is None:
        raise ValueError(f"{text!r} is no span of time: write 90min, 12h, 2d or 1w")
    return text.strip()


Span = Annotated[str, AfterValidator(_checked_span)]
"""A span of time for `parse_span`; empty for none."""
Urls = Annotated[tuple[str, ...], NoDecode, BeforeValidator(items)]
Paths = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(items)]


def overlap(one: Path, other: Path) -> bool:
    """Whether one of the folders is, or holds, the other."""
    one, other = one.resolve(), other.resolve()
    return one.is_relative_to(other) or other.is_relative_to(one)


def read_token(path: Path | None) -> str | None:
    """The token in a file, without the line's end; `SettingsError` where it can't be read or is empty."""
    return read_secret("the token file", path)


def read_secret(what: str, path: Path | None) -> str | None:
    """As `read_token`, for any secret; a file that other accounts can read is refused."""
    if path is None:
        return None
    secret = read_private(what, path).strip()
    if not secret:
        raise SettingsError(f"{what} {path} is empty")
    if len(secret.splitlines()) > 1:
        raise SettingsError(f"{what} {path} has more than one line: it must hold the one secret and nothing else")
    return secret


def read_private(what: str, path: Path) -> str:
    """The text of a file with secrets; `SettingsError` where it can't be read, or other accounts can read it, too."""
    try:
        with path.open() as file:
            if _others_read(path.resolve(), os.fstat(file.fileno()).st_mode):
                raise SettingsError(f"{what} {path} can be read by other accounts of this machine: chmod 600 {path}")
            return file.read()
    except OSError as error:
        raise SettingsError(f"{what} {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{what} {path} is no text") from None


def _others_read(path: Path, mode: int) -> bool:
    """Whether the file lets others read it, and no folder above it keeps them out.

    Containers get their secrets with mode 0444 in a folder of their own, where there are no other accounts.
    """
    if path.is_relative_to(CONTAINER_SECRETS):
        return False
    return bool(mode & 0o044) and all(folder.stat().st_mode & 0o011 for folder in path.parents)
