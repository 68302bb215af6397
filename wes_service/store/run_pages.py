"""Pages of an owner's runs, by whatever filter; the one place where such a query is put together.

A list is read along one index, newest first, until the page is full: that of a tag, of each wanted state, of each
wanted engine, or of all runs. All other conditions are looked at run by run. So where several indexes would do, the one
with the fewest runs leads; how many those are is counted to `LOOK` only, as more than that fill a page soon.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select, tuple_, union_all
from sqlalchemy.sql.elements import ColumnElement

from common.errors import RunNotFound
from common.paging import Cursor, Page
from wes_service.core.run import Owner, RunFilter, RunSummary
from wes_service.store import rows
from wes_service.store.ledger import owned_by
from wes_service.store.schema import RUN_TAGS, RUNS, place_of, storable, unindexed

SUMMARY = (RUNS.c.id, RUNS.c.state, RUNS.c.created, RUNS.c.started, RUNS.c.ended, RUNS.c.tags)
LOOK = 500

Condition = ColumnElement[bool]


@dataclass(frozen=True, kw_only=True)
class Lead:
    """What a list may be read along: stretches of an index, each in the order of time and id.

    `created` and `id` are that index's own columns; `kind` says which condition of the filter it fulfils.
    """

    kind: str
    created: ColumnElement[Any]
    id: ColumnElement[Any]
    stretches: Sequence[Condition]

    def within(self, stretch: Condition, wanted: RunFilter, after: Cursor | None) -> Condition:
        """The stretch between the filter's times, from the cursor on."""
        conditions = [stretch]
        if wanted.since is not None:
            conditions.append(self.created >= wanted.since)
        if wanted.until is not None and (after is None or wanted.until <= after.created):
            conditions.append(self.created < wanted.until)
        if after is not None:
            # SQLite bounds a stretch on both sides only by single columns, and would else begin at its newest run.
            conditions += [self.created <= after.created] if wanted.since is not None else []
            conditions.append(tuple_(self.created, self.id) < place_of(after))
        return and_(*conditions)


def read_page(
    connection: Connection, owner: Owner, wanted: RunFilter, size: int, after: Cursor | None
) -> Page[RunSummary]:
    """As in `RunStore.page`."""
    lead = _lead(connection, owner, wanted, after)
    rest = _rest(owner, wanted, lead)
    found = connection.execute(_query(lead, rest, wanted, size + 1, after)).all()
    items = [rows.summary_of(row) for row in found[:size]]
    return Page(items=items, next=rows.cursor_of(items[-1]) if len(found) > size else None)


def read_summary(connection: Connection, owner: Owner, run_id: str) -> RunSummary:
    """As in `RunStore.summary`."""
    row = connection.execute(select(*SUMMARY).where(RUNS.c.id == run_id, owned_by(owner))).one_or_none()
    if row is None:
        raise RunNotFound
    return rows.summary_of(row)


def _query(lead: Lead, rest: Sequence[Condition], wanted: RunFilter, most: int, after: Cursor | None) -> Select[Any]:
    parts = [_part(lead, lead.within(stretch, wanted, after), rest).limit(most) for stretch in lead.stretches]
    if len(parts) == 1:
        return parts[0]
    merged = union_all(*(select(part.subquery()) for part in parts)).subquery()
    return select(merged).order_by(merged.c.created.desc(), merged.c.id.desc()).limit(most)


def _part(lead: Lead, within: Condition, rest: Sequence[Condition]) -> Select[Any]:
    query = select(*SUMMARY).where(within, *rest).order_by(lead.created.desc(), lead.id.desc())
    return query.join(RUN_TAGS, RUN_TAGS.c.run_id == RUNS.c.id) if lead.kind.startswith("tag ") else query


def _lead(connection: Connection, owner: Owner, wanted: RunFilter, after: Cursor | None) -> Lead:
    leads = list(_leads(owner, wanted))
    if len(leads) == 1:
        return leads[0]
    return min(leads, key=lambda lead: _count(connection, lead, wanted, after))


def _leads(owner: Owner, wanted: RunFilter) -> Iterator[Lead]:
    """Where two of them have as many runs, the first is the better one."""
    for states in [sorted(wanted.states)] if wanted.states else []:
        yield _of_runs("state", [and_(owned_by(owner), RUNS.c.state == state.value) for state in states])
    for tag in sorted(wanted.tags):
        yield Lead(
            kind=f"tag {tag}",
            created=RUN_TAGS.c.created,
            id=RUN_TAGS.c.run_id,
            stretches=[RUN_TAGS.c.tag == rows.tag_digest(owner, tag)],
        )
    if wanted.engines and not wanted.states:
        yield _of_runs("engine", [and_(owned_by(owner), RUNS.c.engine == name) for name in sorted(wanted.engines)])
    if not (wanted.states or wanted.tags or wanted.engines):
        yield _of_runs("age", [owned_by(owner)])


def _of_runs(kind: str, stretches: Sequence[Condition]) -> Lead:
    return Lead(kind=kind, created=RUNS.c.created, id=RUNS.c.id, stretches=stretches)


def _count(connection: Connection, lead: Lead, wanted: RunFilter, after: Cursor | None) -> int:
    parts = [select(lead.id).where(lead.within(stretch, wanted, after)).limit(LOOK) for stretch in lead.stretches]
    return sum(
        connection.execute(select(func.count()).select_from(part.subquery("counted"))).scalar_one() for part in parts
    )


def _rest(owner: Owner, wanted: RunFilter, lead: Lead) -> list[Condition]:
    """The conditions that the lead does not fulfil by itself."""
    conditions: list[Condition] = []
    if wanted.states and lead.kind != "state":
        conditions.append(unindexed(RUNS.c.state).in_(sorted(state.value for state in wanted.states)))
    if wanted.engines and lead.kind != "engine":
        conditions.append(unindexed(RUNS.c.engine).in_(sorted(wanted.engines)))
    others = [tag for tag in sorted(wanted.tags) if lead.kind != f"tag {tag}"]
    conditions += [_has_tag(owner, tag) for tag in others]
    if wanted.search:
        conditions.append(_speaks_of(storable(wanted.search)))
    return conditions


def _has_tag(owner: Owner, text: str) -> Condition:
    """Not EXISTS, of which PostgreSQL makes a join of all runs with the tag: this is looked up run by run."""
    tag = RUN_TAGS.alias()
    this = (tag.c.tag == rows.tag_digest(owner, text), tag.c.created == RUNS.c.created, tag.c.run_id == RUNS.c.id)
    return select(tag.c.tag).where(*this).scalar_subquery().is_not(None)


def _speaks_of(text: str) -> Condition:
    return or_(func.lower(RUNS.c.id).startswith(text, autoescape=True), RUNS.c.search.contains(text, autoescape=True))
