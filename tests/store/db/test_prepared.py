"""Prepared statements return what SQLAlchemy returns for the same statement: rows, types, counts and errors."""

import asyncio
import enum
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    CursorResult,
    Date,
    Engine,
    Enum,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    bindparam,
    case,
    create_engine,
    delete,
    exc,
    func,
    insert,
    literal,
    select,
    text,
    union_all,
    update,
)

from store.db.database import Database
from store.db.prepared import MOST_IN_LIST, prepared, prepared_insert
from store.tables.base import Instant, metadata


class Colour(enum.Enum):
    """An enumeration, stored by name."""

    RED = "r"
    BLUE = "b"


samples = Table(
    "samples",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(40), unique=True),
    Column("at", Instant()),
    Column("day", Date),
    Column("data", JSON),
    Column("maybe", JSON(none_as_null=True)),
    Column("amount", Numeric(12, 2)),
    Column("ratio", Float),
    Column("yes", Boolean),
    Column("colour", Enum(Colour)),
    Column("content", LargeBinary),
    Column("big", BigInteger),
    Column("counted", Integer, nullable=False, default=7),
    Column("note", String(10), nullable=False, server_default="none"),
)
"""A table with a column of each type, with defaults of Python and of the database."""

other = samples.alias("other")
UPSERT: dict[str, Any] = {"index_elements": ["id"], "set_": {"name": "again", "yes": True}}
STATEMENTS = {
    "insert": prepared(insert(samples)),
    "returning": prepared(insert(samples).returning(samples)),
    "once": prepared_insert(samples, lambda new: new.on_conflict_do_nothing().returning(samples.c.id, samples.c.at)),
    "upsert": prepared_insert(samples, lambda new: new.on_conflict_do_update(**UPSERT)),
    "update": prepared(update(samples).where(samples.c.id == bindparam("of_id"))),
    "raise": prepared(
        update(samples)
        .where(samples.c.id.in_(bindparam("ids", expanding=True)))
        .values(counted=samples.c.counted + bindparam("by"))
        .returning(samples.c.id, samples.c.counted)
    ),
    "delete": prepared(delete(samples).where(samples.c.id.in_(bindparam("ids", expanding=True)))),
    "all": prepared(select(samples).order_by(samples.c.id)),
    "some": prepared(
        select(samples)
        .where(samples.c.id.in_(bindparam("ids", expanding=True)), samples.c.counted.in_([7, 8]))
        .order_by(samples.c.id)
        .limit(bindparam("most", type_=Integer))
    ),
    "since": prepared(select(samples.c.id, samples.c.at).where(samples.c.at >= bindparam("at")).order_by(samples.c.id)),
    "computed": prepared(
        select(
            func.count().label("n"),
            func.max(samples.c.at).label("newest"),
            func.sum(samples.c.counted),
            case((func.count() > 2, "many"), else_="few").label("words"),
        )
    ),
    "joined": prepared(
        select(samples, other.c.id, literal("x").label("text"))
        .outerjoin(other, other.c.counted == samples.c.counted)
        .where(samples.c.id == bindparam("of_id"))
        .order_by(other.c.id)
    ),
    "union": prepared(
        union_all(
            select(samples.c.id, literal("a").label("why")).where(samples.c.yes),
            select(samples.c.id, literal("b")).where(samples.c.name == bindparam("name")),
        )
    ),
}

ids = st.integers(1, 6)
zones = st.integers(-12, 12).map(lambda hours: timezone(timedelta(hours=hours)))
moments = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=zones)  # with these zones
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
columns = {
    "name": st.none() | texts,
    "at": st.none() | moments,
    "day": st.none() | st.dates(),
    "data": values,
    "maybe": values,
    "amount": st.none() | st.decimals(-(10**9), 10**9, places=2),
    "ratio": st.none() | st.floats(allow_nan=False),
    "yes": st.none() | st.booleans(),
    "colour": st.none() | st.sampled_from(Colour),
    "content": st.none() | st.binary(max_size=6),
    "big": st.none() | st.integers(-(2**63), 2**63 - 1),
}
rows = st.lists(st.sampled_from(sorted(columns)), unique=True, max_size=4).flatmap(
    lambda names: st.lists(
        st.fixed_dictionaries({"id": ids, **{name: columns[name] for name in names}}), min_size=1, max_size=3
    )
)
some_ids = st.lists(ids, max_size=4) | st.just(list(range(MOST_IN_LIST + 2)))
calls = st.one_of(
    st.tuples(st.sampled_from(["insert", "returning", "once", "upsert"]), rows),
    st.tuples(st.just("update"), rows.map(lambda rows: [{"of_id": row.pop("id"), "counted": 8} | row for row in rows])),
    st.tuples(st.just("raise"), st.builds(lambda ids, by: [{"ids": ids, "by": by}], some_ids, ids)),
    st.tuples(st.just("delete"), st.builds(lambda ids: [{"ids": ids}], some_ids)),
    st.tuples(st.sampled_from(["all", "computed"]), st.just([{}])),
    st.tuples(st.just("some"), st.builds(lambda ids, most: [{"ids": ids, "most": most}], some_ids, ids)),
    st.tuples(st.just("since"), st.builds(lambda at: [{"at": at}], moments)),
    st.tuples(st.just("joined"), st.builds(lambda id: [{"of_id": id}], ids)),
    st.tuples(st.just("union"), st.builds(lambda name: [{"name": name}], texts)),
)
"""The name of a statement, and its sets of parameters."""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """SQLAlchemy's own engine, on a database of its own."""
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('plain')}/plain.db")
    samples.create(engine)
    return engine


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory, runner: asyncio.Runner) -> Iterator[Database]:
    path = tmp_path_factory.mktemp("thin") / "thin.db"
    engine = create_engine(f"sqlite:///{path}")
    samples.create(engine)
    engine.dispose()
    database = Database(f"sqlite:///{path}")
    yield database
    runner.run(database.close())


def told(result: Any) -> Any:
    """Return all that a result says: its columns, rows with the types of their values, and the count of a write."""
    if isinstance(result, CursorResult) and not result.returns_rows:
        return result.rowcount
    names, found = list(result.keys()), result.all()
    return (names, [[(type(value), value) for value in row] for row in found]) if names else result.rowcount


def by_sqlalchemy(engine: Engine, script: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[Any]:
    with engine.begin() as conn:
        conn.execute(delete(samples))
        answers: list[Any] = []
        for name, many in script:
            try:
                with conn.begin_nested():
                    answers.append(told(conn.execute(STATEMENTS[name].sqlite, many if len(many) > 1 else many[0])))
            except exc.SQLAlchemyError as error:
                answers.append(type(error))
        return answers


async def by_executor(db: Database, script: Sequence[tuple[str, list[dict[str, Any]]]], *, hot: bool) -> list[Any]:
    async with db.write() as conn:
        await conn.execute(delete(samples))
        answers: list[Any] = []
        for name, many in script:
            statement: Any = STATEMENTS[name] if hot else STATEMENTS[name].sqlite
            await conn.execute(text("SAVEPOINT one"))
            try:
                answers.append(told(await conn.execute(statement, many if len(many) > 1 else many[0])))
            except exc.SQLAlchemyError as error:
                answers.append(type(error))
                await conn.execute(text("ROLLBACK TO one"))
        return answers


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(calls, min_size=1, max_size=6))
def test_random_statements_give_the_rows_types_counts_and_errors_of_sqlalchemy(
    runner: asyncio.Runner, plain: Engine, thin: Database, script: list[tuple[str, list[dict[str, Any]]]]
) -> None:
    expected = by_sqlalchemy(plain, script)
    assert runner.run(by_executor(thin, script, hot=True)) == expected
    assert runner.run(by_executor(thin, script, hot=False)) == expected


def test_no_column_has_a_default_that_a_prepared_statement_would_leave_out() -> None:
    """`Plan` adds plain values; a function or an `onupdate` runs only in SQLAlchemy."""
    for column in (column for table in metadata.sorted_tables for column in table.c):
        assert column.onupdate is None, column
        assert column.default is None or column.default.is_scalar, column
