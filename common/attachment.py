"""Names of attachments: relative, inside, and without clashes."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from common.errors import InvalidField

ATTACHMENT_FIELD = "workflow_attachment"
LONGEST_PART = 255


def safe_name(name: str) -> str:
    """The normalised relative name; `InvalidField` names the attachment where it is not safe to write."""
    if not name or name.endswith("/"):
        raise InvalidField(ATTACHMENT_FIELD, f"the attachment {name!r} has no file name")
    if "\0" in name or any(ord(c) < 32 for c in name):
        raise InvalidField(ATTACHMENT_FIELD, f"the attachment name {name!r} holds a control character")
    if "\\" in name:
        raise InvalidField(ATTACHMENT_FIELD, f"the attachment name {name!r} is not a relative POSIX path")
    if name.startswith("/"):
        raise InvalidField(ATTACHMENT_FIELD, f"the attachment name {name!r} is absolute; use a relative path")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if not parts or ".." in parts:
        raise InvalidField(ATTACHMENT_FIELD, f"the attachment name {name!r} leaves its folder; remove '..'")
    if any(len(part.encode()) > LONGEST_PART for part in parts):
        raise InvalidField(
            ATTACHMENT_FIELD, f"the attachment name {name[:40]!r}… has a part of over {LONGEST_PART} bytes"
        )
    return "/".join(parts)


def check_clash(names: Iterable[str], new: str) -> None:
    """`InvalidField` where one of an old and the new name needs the other to be a folder."""
    for old in names:
        if new in _folders(old) or old in _folders(new):
            raise InvalidField(
                ATTACHMENT_FIELD, f"the attachments {old!r} and {new!r} clash: one is a file, the other needs a folder"
            )


def _folders(name: str) -> set[str]:
    return {str(parent) for parent in PurePosixPath(name).parents}
