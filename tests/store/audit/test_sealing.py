"""Every way to write rows seals them, by prepared statements as by others."""

import json
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, insert, select, text, update

from store.audit.verification import verify
from store.db.database import Database
from store.db.prepared import Prepared, prepared, prepared_insert
from store.tables.audit import seals
from store.tables.people import people
from tests.store.sample_cases import MORNING

pytestmark = pytest.mark.both_databases

_id = people.c.id == bindparam("of_id")
INSERT = prepared(insert(people))
ONCE = prepared_insert(people, lambda new: new.on_conflict_do_nothing().returning(people.c.id))
UPSERT = prepared_insert(
    people, lambda new: new.on_conflict_do_update(index_elements=["id"], set_={"name": new.excluded.name})
)
RENAME = prepared(update(people).where(_id).returning(people.c.name, people.c.created_at))
DELETE = prepared(delete(people).where(people.c.id.in_(bindparam("ids", expanding=True))))


def person(number: int, name: str = "Anna") -> dict[str, Any]:
    return {"id": f"p{number}", "name": name, "active": True, "created_at": MORNING}


WRITES: list[tuple[Prepared, Any, dict[str, bool]]] = [
    (INSERT, person(1), {"p1": True}),
    (INSERT, [person(2), person(3)], {"p2": True, "p3": True}),
    (INSERT, [person(number) for number in range(10, 130)], {f"p{number}": True for number in range(10, 130)}),
    (ONCE, person(1), {}),
    (ONCE, [person(1), person(4)], {"p4": True}),
    (UPSERT, [person(1, "Berta"), person(5)], {"p1": True, "p5": True}),
    (RENAME, {"of_id": "p1", "name": "Carla"}, {"p1": True}),
    (RENAME, [{"of_id": "p2", "name": "Dora"}, {"of_id": "none", "name": "Dora"}], {"p2": True}),
    (DELETE, {"ids": ["p3", "none"]}, {"p3": False}),
    (DELETE, {"ids": [f"p{number}" for number in range(10, 130)]}, {f"p{number}": False for number in range(10, 130)}),
]
"""Statements, their parameters, and the people whose rows are sealed, each with whether the row is still there."""


@pytest.mark.parametrize("hot", [True, False])
@pytest.mark.parametrize("call", ["execute", "scalars"])
async def test_each_written_row_is_sealed_and_each_deleted_one(db: Database, hot: bool, call: str) -> None:
    for number, (statement, parameters, sealed) in enumerate(WRITES):
        plain = statement.postgresql if db.kind == "postgresql" else statement.sqlite
        async with db.write() as conn:
            before = await conn.scalar(text("SELECT max(number) FROM seals")) or 0
            if call == "execute" or statement not in (ONCE, RENAME) or isinstance(parameters, list):
                await conn.execute(statement if hot else plain, parameters)
            else:
                (await conn.scalars(statement if hot else plain, parameters)).all()
        async with db.read() as conn:
            records = (await conn.scalars(select(seals.c.rows).where(seals.c.number > before))).all()
        told = [json.loads(record)["people"] for record in records]
        found = {key: seal is not None for each in told for key, seal in each.items()}
        assert found == sealed, number
    assert (await verify(db)).problems == []


async def test_a_prepared_statement_answers_what_it_returns_not_what_is_sealed(db: Database) -> None:
    async with db.write() as conn:
        assert (await conn.execute(ONCE, person(1))).all() == [("p1",)]
        renamed = (await conn.execute(RENAME, {"of_id": "p1", "name": "Berta"})).one()
        assert (renamed.name, renamed.created_at) == ("Berta", MORNING)
        assert (await conn.execute(DELETE, {"ids": ["p1", "p2"]})).rowcount == 1
