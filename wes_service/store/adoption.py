"""Gives all runs of one owner to another, as for those that were submitted before a server had users."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, delete, exists, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from wes_service.core.run import ANONYMOUS, Owner
from wes_service.store import rows
from wes_service.store.leases import owned_by, record_adopted
from wes_service.store.rows import AnyRow
from wes_service.store.schema import DELETED_RUNS, NOTIFICATIONS, RUN_COUNTS, RUN_TAGS, RUNS
from wes_service.store.transactions import Transactions

ADOPTED_PER_TRANSACTION = 500
"""Runs in one transaction, so that a service that is up waits for moments only."""


def count_runs(transactions: Transactions, owner: Owner) -> int:
    """How many runs an owner has, deleted ones not counted."""
    query = select(func.coalesce(func.sum(RUN_COUNTS.c.runs), 0)).where(owned_by(owner, RUN_COUNTS))
    return int(transactions.read(lambda connection: connection.execute(query).scalar_one()))


def unowned_runs_warning(transactions: Transactions) -> str:
    """What to tell the operator of a server with users: that runs without an owner exist; empty where none do."""
    if not (number := count_runs(transactions, ANONYMOUS)):
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
    notified = update(NOTIFICATIONS).where(owned_by(before, NOTIFICATIONS))
    owner = {"issuer": after.issuer, "subject": after.subject}
    transactions.write(lambda connection: connection.execute(notified.values(owner)))
    return adopted


def _adopt_some(connection: Connection, before: Owner, after: Owner) -> int:
    query = select(RUNS.c.id, RUNS.c.created, RUNS.c.tags, RUNS.c.state).where(owned_by(before))
    found = connection.execute(query.order_by(RUNS.c.id).limit(ADOPTED_PER_TRANSACTION).with_for_update()).all()
    if not found:
        return 0
    ids = [row.id for row in found]
    _hand_over(connection, RUNS.c.idempotency_key, RUNS.c.id.in_(ids), after)
    # By the key of the table, which begins with the tag.
    old = {tag["tag"] for tag in _tags(found, before)}
    connection.execute(delete(RUN_TAGS).where(RUN_TAGS.c.tag.in_(old), RUN_TAGS.c.run_id.in_(ids)))
    if tags := _tags(found, after):
        connection.execute(RUN_TAGS.insert(), tags)
    record_adopted(connection, before, after, Counter(row.state for row in found))
    return len(found)


def _adopt_tombstones(connection: Connection, before: Owner, after: Owner) -> None:
    _hand_over(connection, DELETED_RUNS.c.key_digest, owned_by(before, DELETED_RUNS), after)


def _hand_over(connection: Connection, key: Column[Any], these: ColumnElement[bool], after: Owner) -> None:
    """Of rows with a `key` that their new owner has used, the key is left out."""
    table = key.table
    other = table.alias()
    used = exists().where(owned_by(after, other), other.c[key.name] == key)
    connection.execute(update(table).where(these, used).values({key.name: None}))
    connection.execute(update(table).where(these).values(issuer=after.issuer, subject=after.subject))


def _tags(found: Sequence[AnyRow], owner: Owner) -> list[rows.Values]:
    return [tag for row in found for tag in rows.tag_rows(owner, row.id, row.created, json.loads(row.tags))]
