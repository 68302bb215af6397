"""Takes credentials out of what is shown: names that say secret, and URLs that carry one."""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit

from wes_service.core.json_types import Json

MASK = "***"
_SECRET_NAME = re.compile(
    r"(?i)(^|[_.\-])(password|passwd|passphrase|secret|secrets|credentials?|authorization|private_?key|api_?key|"
    r"access_?key(_?id)?|secret_?key|access_?token|auth_?token|session_?token|refresh_?token|bearer|token)$"
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,20}://[^\s\"'<>]+")
_USERINFO = re.compile(r"(?<=://)[^/?#\s\"'<>]*@")
_SIGNED = re.compile(
    r"(?i)([?&;](?:[^=&;#\s]*(?:signature|credential|token|password|secret)|sig|key|apikey|api_key|awsaccesskeyid)=)"
    r"[^&;#\s\"'<>]*"
)


def masked(value: Json) -> Json:
    """The same document in which secrets are `***`; what has none is unchanged."""
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, Mapping):
        return {name: _member(name, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value


def masked_text(text: str) -> str:
    """A text in which every URL has lost its user name, password and signature."""
    return _URL.sub(lambda match: _masked_url(match.group()), text) if "://" in text else text


@lru_cache(maxsize=256)
def bare_url(url: str) -> str:
    """A URL without user name, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _member(name: str, value: Json) -> Json:
    return MASK if isinstance(value, str) and value and _SECRET_NAME.search(name) else masked(value)


def _masked_url(url: str) -> str:
    return _SIGNED.sub(rf"\g<1>{MASK}", _USERINFO.sub(f"{MASK}@", url))
