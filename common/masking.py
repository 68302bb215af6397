"""Takes credentials out of what is shown: names that say secret, and URLs that carry one."""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote, urlsplit, urlunsplit

from common.json_types import Json

MASK = "***"
_SECRET_NAME = re.compile(
    r"(?i)(^|[_.\-])(password|passwd|passphrase|secret|secrets|credentials?|authorization|private_?key|api_?key|"
    r"access_?key(_?id)?|secret_?key|access_?token|auth_?token|session_?token|refresh_?token|bearer|token)$"
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,20}://[^\s\"'<>]+")
_SEPARATOR = re.compile(r"([?&;#])")
_SECRET_ENDS = ("signature", "credential", "token", "password", "secret")
_SECRET_PARAMETERS = frozenset({"sig", "key", "apikey", "api_key", "awsaccesskeyid"})
LONGEST_URL = 16 * 1024
"""Characters; of a longer one only the beginning is looked into, and the rest is not shown."""
DEEPEST = 200
"""Levels of a document; what lies deeper is not shown."""


def masked(value: Json, levels: int = DEEPEST) -> Json:
    """The same document in which secrets are `***`; what has none is unchanged."""
    if isinstance(value, str):
        return masked_text(value)
    if not isinstance(value, Mapping | list | tuple):
        return value
    if not levels:
        return MASK
    if isinstance(value, Mapping):
        return {name: _member(name, item, levels - 1) for name, item in value.items()}
    return [masked(item, levels - 1) for item in value]


def masked_text(text: str) -> str:
    """A text in which every URL has lost its user name, password and signature."""
    return _URL.sub(lambda match: _masked_url(match.group()), text) if "://" in text else text


@lru_cache(maxsize=256)
def bare_url(url: str) -> str:
    """A URL without user name, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _member(name: str, value: Json, levels: int) -> Json:
    return MASK if isinstance(value, str) and value and _SECRET_NAME.search(name) else masked(value, levels)


def _masked_url(url: str) -> str:
    """In time that grows with its length only, as foreign code writes it: it is taken apart, each part once."""
    shown, rest = url[:LONGEST_URL], url[LONGEST_URL:]
    scheme, *others = shown.split("://")
    whole = "://".join([scheme, *(_without_user(part) for part in others)])
    # Every second piece is a separator.
    pieces = _SEPARATOR.split(whole)
    return "".join([pieces[0], *(_parameter(piece) for piece in pieces[1:]), MASK if rest else ""])


def _without_user(text: str) -> str:
    """What follows `://`: a name and password go up to the last `@` before the path."""
    end = next((at for at, character in enumerate(text) if character in "/?#"), len(text))
    user, at, host = text[:end].rpartition("@")
    return f"{MASK}@{host}{text[end:]}" if at else f"{user}{host}{text[end:]}"


def _parameter(text: str) -> str:
    name, equals, _ = text.partition("=")
    plain = unquote(name).lower()
    is_secret = plain in _SECRET_PARAMETERS or plain.endswith(_SECRET_ENDS)
    return f"{name}={MASK}" if equals and is_secret else text
