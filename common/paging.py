"""Keyset pages: a token names the last item seen, so that it works on every replica and after a restart."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from common.errors import InvalidField

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The last item of the page before: its creation time (UTC) and id."""

    created: datetime
    id: str


@dataclass(frozen=True, kw_only=True)
class TaskCursor:
    """Where a task is in a list over all runs: the place of its run in the list of runs, and its own in the run."""

    run: Cursor
    task: Cursor


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Item]):
    """`next` is None on the last page; no cursor ever leads to an empty page."""

    items: Sequence[Item]
    next: Cursor | None


def encode(cursor: Cursor | None, scope: str = "") -> str:
    """The opaque page token; an empty string where there is no further page.

    `scope` says by which filters the list was made, as a token means something in that list only.
    """
    if cursor is None:
        return ""
    micros = round(cursor.created.timestamp() * 1_000_000)
    parts = [micros, cursor.id, scope] if scope else [micros, cursor.id]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode(token: str | None, scope: str = "") -> Cursor | None:
    """The cursor of a token; `InvalidField` for anything that `encode` did not make, or made in another scope."""
    if not token:
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        micros, identifier, made_in = [*json.loads(raw), ""][:3]
        cursor = Cursor(created=datetime.fromtimestamp(micros / 1_000_000, tz=UTC), id=identifier)
    except (binascii.Error, ValueError, TypeError, OverflowError, OSError):
        raise InvalidField("page_token", "this is not a token of this server") from None
    if not isinstance(identifier, str) or "\0" in identifier or encode(cursor, made_in) != token:
        raise InvalidField("page_token", "this is not a token of this server")
    if made_in != scope:
        raise InvalidField("page_token", "it belongs to a list with other filters; send those again, or no token")
    return cursor
