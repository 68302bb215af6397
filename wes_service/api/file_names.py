"""The file name of a part of a multipart form, with its folders, in every spelling that clients use."""

import re
from urllib.parse import unquote

from werkzeug.sansio.multipart import Field, File

from common.attachment import FIELD
from common.errors import InvalidField

# A quote that is never closed goes to the end: else the end would be looked for from each one again.
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:\\.|[^"\\])*+(?:"|\\?$)|[^;]*)')
_ESCAPED = re.compile(r"\\([\"\\])")
_EXTENDED = re.compile(r"(utf-8|iso-8859-1|us-ascii)'[^']*'(.*)", re.IGNORECASE)


def file_name(part: Field | File) -> str | None:
    """None where the part has none; `InvalidField` where it can't be decoded.

    Werkzeug alone would drop a backslash, and all after a slash in `filename*`, without a word; it reads the rest.
    """
    header = part.headers.get("content-disposition", "")
    given = {name.lower(): value.strip() for name, value in _PARAMETER.findall(header)}
    if "filename*" in given:
        return _extended(given["filename*"])
    if "filename" in given:
        return _plain(given["filename"])
    return part.filename if isinstance(part, File) else None


def _plain(value: str) -> str:
    # Browsers write a quote as %22 (HTML), curl and older libraries as a backslash and a quote (RFC 9110).
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    text = _ESCAPED.sub(r"\1", value[1:-1]) if quoted else value
    return text.replace("%22", '"')


def _extended(value: str) -> str:
    match = _EXTENDED.fullmatch(value.strip('"'))
    try:
        return unquote(match[2], encoding=match[1], errors="strict") if match else _refuse(value)
    except UnicodeDecodeError:
        return _refuse(value)


def _refuse(text: str) -> str:
    raise InvalidField(FIELD, f"the file name {text[:80]!r} can't be decoded; UTF-8 is best")
