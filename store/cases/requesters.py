"""The people who count as requester of a case beside its requester, if a service account asks."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, exists, select

from store.db.connection import AsyncConnection
from store.db.prepared import prepared_insert
from store.tables.cases import case_requesters, cases


async def add(conn: AsyncConnection, asked_for: Mapping[str, Sequence[str]]) -> None:
    """Store who counts as requester of new cases; `asked_for` has these people by case."""
    named = [{"case_id": case_id, "person": person} for case_id, people in asked_for.items() for person in people]
    if named:
        await conn.execute(_INSERT, named)


_INSERT = prepared_insert(case_requesters, lambda new: new.on_conflict_do_nothing())


async def asked_for(conn: AsyncConnection, case_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return, by case, the people who count as requester beside the requester."""
    query = select(cases.c.case_id, cases.c.asked_for).where(cases.c.case_id.in_(case_ids))
    return {row.case_id: row.asked_for for row in await conn.execute(query)}


def counts_as_requester(case_id: ColumnElement[str], people: Sequence[str]) -> ColumnElement[bool]:
    """Return the SQL condition that one of the people counts as requester of the case, beside its `requester`."""
    asked = case_requesters.alias()
    return exists().where(asked.c.case_id == case_id, asked.c.person.in_(people)).correlate_except(asked)
