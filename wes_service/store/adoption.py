"""Gives all runs of one owner to another, as for those that were submitted before a server had users."""

import json
from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, Table, delete, exists, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from wes_service.core.run import ANONYMOUS, Owner, tag_texts
from wes_service.store import rows
from wes_service.store.ledger import owned_by, record_adopted
from wes_service.store.rows import AnyRow
from wes_service.store.schema import DELETED_RUNS, RUN_COUNTS, RUN_TAGS, RUNS
from wes_service.store.transactions import Transactions

AT_ONCE = 500
"""Runs in one transaction, so that a service that is up waits for moments only."""


def runs_of(transactions: Transactions, owner: Owner) -> int:
    """How many runs an owner has, deleted ones not counted."""
    query = select(func.coalesce(func.sum(RUN_COUNTS.c.runs), 0)).where(
        RUN_COUNTS.c.issuer == owner.issuer, RUN_COUNTS.c.subject == owner.subject
    )
    return int(transactions.read(lambda connection: connection.execute(query).scalar_one()))


def unowned(transactions: Transactions) -> str:
    """What to tell the operator of a server with users: that runs without an owner exist; empty where none do."""
    if not (number := runs_of(transactions, ANONYMOUS)):
        return ""
    return f"{number} that were submitted without a token are seen by nobody; 'wes runs adopt' gives them to the token"


def adopt_runs(transactions: Transactions, before: Owner, after: Owner) -> int:
    """Makes `after` the owner of all runs of `before`, of deleted ones too; how many there are that still exist.

    May be done while the service is up, and again where it was interrupted. Idempotency keys go with their runs; where
    both owners have used the same key, the one of `after` counts.
    """
    adopted = 0
    while number := transactions.write(lambda connection: _adopt_some(connection, before, after)):
        adopted += number
    transactions.write(lambda connection: _adopt_tombstones(connection, before, after))
    return adopted


def _adopt_some(connection: Connection, before: Owner, after: Owner) -> int:
    query = select(RUNS.c.id, RUNS.c.created, RUNS.c.tags, RUNS.c.state).where(owned_by(before))
    found = connection.execute(query.order_by(RUNS.c.id).limit(AT_ONCE).with_for_update()).all()
    if not found:
        return 0
    these = RUNS.c.id.in_([row.id for row in found])
    connection.execute(update(RUNS).where(these, _used(RUNS, after)).values(idempotency_key=None))
    connection.execute(update(RUNS).where(these).values(issuer=after.issuer, subject=after.subject))
    connection.execute(delete(RUN_TAGS).where(RUN_TAGS.c.run_id.in_([row.id for row in found]), _tags(found, before)))
    if tags := [tag for row in found for tag in _tag_rows(row, after)]:
        connection.execute(RUN_TAGS.insert(), tags)
    record_adopted(connection, before, after, Counter(row.state for row in found))
    return len(found)


def _adopt_tombstones(connection: Connection, before: Owner, after: Owner) -> None:
    theirs = (DELETED_RUNS.c.issuer == before.issuer, DELETED_RUNS.c.subject == before.subject)
    connection.execute(update(DELETED_RUNS).where(*theirs, _used(DELETED_RUNS, after)).values(key_digest=None))
    connection.execute(update(DELETED_RUNS).where(*theirs).values(issuer=after.issuer, subject=after.subject))


def _used(table: Table, owner: Owner) -> ColumnElement[bool]:
    """Whether that owner has a run with the key of this row."""
    key = "idempotency_key" if table is RUNS else "key_digest"
    other = table.alias()
    return exists().where(
        other.c.issuer == owner.issuer, other.c.subject == owner.subject, other.c[key] == table.c[key]
    )


def _tags(found: Sequence[AnyRow], owner: Owner) -> ColumnElement[bool]:
    """By the key of the table, which begins with the tag."""
    return RUN_TAGS.c.tag.in_({tag["tag"] for row in found for tag in _tag_rows(row, owner)})


def _tag_rows(row: AnyRow, owner: Owner) -> list[rows.Values]:
    texts = sorted(tag_texts(json.loads(row.tags)))
    return [{"tag": rows.tag_digest(owner, text), "created": row.created, "run_id": row.id} for text in texts]
