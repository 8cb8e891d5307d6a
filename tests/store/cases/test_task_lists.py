"""Lists of many tasks: groups with exact sums, fast search by words and payee, correct after edits."""

import random
import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, get_args

import pytest
from sqlalchemy import Engine, event as sql_event

from domain.records import CaseRecord
from domain.scope import OVERSEER
from domain.status import Status
from domain.task import TaskView
from store.cases import task_groups, task_lists, tasks
from store.cases.cases import Viewer
from store.cases.task_groups import By, GroupTotals
from store.cases.task_lists import Sort, TaskFilter, Whose
from store.db import cursor as cursors
from store.db.database import Database
from store.db.sqlite_connection import SqliteConnection
from store.people import people
from tests.store.sample_cases import MORNING, decision, event, opening, patch, recorded, submitted, task

pytestmark = pytest.mark.both_databases

MANAGER = Viewer(id="manager-1", groups=["managers"])
LATER = MORNING + timedelta(days=2)
WIDE = Context(prec=100)


async def asked(db: Database, reference: str, payee: str, amount: str, currency: str, **changes: Any) -> TaskView:
    """A payment that waits for managers."""
    row = await submitted(db, reference, batch_id=changes.get("batch_id"))
    shown: dict[str, Any] = {"title": f"Pay {payee}", "key_fields": {"Payee": payee, "Amount": amount}}
    view = task(row.case_id, **shown, money={"amount": amount, "currency": currency}, **changes)
    await recorded(db, opening(view))
    return view


async def grouped(db: Database, by: By, **sought: Any) -> dict[str, GroupTotals]:
    async with db.read() as conn:
        found = await task_groups.groups(conn, MANAGER, TaskFilter(whose="mine", **sought), by, LATER)
    assert [group.number for group in found] == sorted((group.number for group in found), reverse=True)
    return {group.key: group for group in found}


async def found(db: Database, **sought: Any) -> list[str]:
    async with db.read() as conn:
        views, _ = await task_lists.page(conn, MANAGER, TaskFilter(status="open", **sought), LATER)
        assert await task_lists.count(conn, MANAGER, TaskFilter(status="open", **sought), LATER) == len(views)
    return [view.case_id for view in views]


async def test_groups_have_exact_sums_by_currency(db: Database) -> None:
    for number in range(3):
        await asked(db, f"A{number}", "Acme", "0.10", "GBP", batch_id="b1", due_at=LATER + timedelta(hours=1))
    await asked(db, "B", "Acme", "90071992547409.93", "GBP", batch_id="b1")
    await asked(db, "C", "Acme", "1200", "JPY", gate="fraud-review", due_at=None)
    await asked(db, "D", "Bolt", "7.5", "EUR")
    await asked(db, "E", "Bolt", "much", "EUR")
    by_payee = await grouped(db, "payee")
    assert by_payee["Acme"].sums == {"GBP": "90071992547410.23", "JPY": "1200"}
    assert by_payee["Bolt"].sums == {"EUR": "7.50"}
    assert (by_payee["Acme"].number, by_payee["Acme"].overdue) == (5, 1)
    assert by_payee["Acme"].first_due == MORNING + timedelta(days=1)
    by_batch = await grouped(db, "batch")
    assert {key: group.number for key, group in by_batch.items()} == {"b1": 4, "": 3}
    assert set(await grouped(db, "step")) == {"payment/manager-approval", "payment/fraud-review"}
    assert set(await grouped(db, "requester")) == {"requester-1"}
    assert set(await grouped(db, "payee", q="bolt")) == {"Bolt"}


async def test_sums_are_exact_for_amounts_of_any_length(db: Database) -> None:
    chance = random.Random(19)
    views, totals = [], dict[tuple[str, str], Decimal]()
    for number in range(400):
        whole, places = chance.randrange(10 ** chance.randrange(1, 41)), chance.randrange(19)
        fraction = f".{chance.randrange(10**places):0{places}}" if places else ""
        amount = f"{chance.choice(['', '-'])}{chance.choice(['', '0'])}{whole}{fraction}"[:60]
        payee, currency = chance.choice("ABC"), chance.choice(["GBP", "JPY", "KWD", "points"])
        case_id = f"payment:{number}"
        shown: dict[str, Any] = {"task_id": f"t{number}", "title": "Pay", "key_fields": {"Payee": payee}}
        views.append(task(case_id, **shown, money={"amount": amount, "currency": currency}))
        if re.fullmatch(r"-?[0-9]{1,40}(\.[0-9]{1,18})?", amount):
            totals[payee, currency] = WIDE.add(totals.get((payee, currency), Decimal()), Decimal(amount))
    row = await submitted(db, "1")
    async with db.write() as conn:
        await tasks.open_all(conn, [view.model_copy(update={"case_id": row.case_id}) for view in views])
    found = await grouped(db, "payee")
    shown_sums = {
        (payee, currency): Decimal(text) for payee, group in found.items() for currency, text in group.sums.items()
    }
    assert shown_sums == totals
    assert len(totals) == 12


async def test_groups_and_pages_find_the_same_tasks(db: Database) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"candidate_groups": ["directors"]},
        {"candidate_groups": ["directors", "managers"]},
        {"candidate_groups": ["managers2"]},
        {"candidate_groups": ["managers"], "members": {"managers": ["dora"]}},
        {"candidate_groups": [], "candidate_users": ["dora"]},
        {"candidate_groups": [], "candidate_users": ["manager-1"]},
        {"excluded_users": ["manager-1"]},
        {"excluded_users": ["dora"]},
        {"requester": "manager-1"},
        {"substitutes": "same-group"},
    )
    for number, change in enumerate(changes):
        await asked(db, f"A{number}", f"P{number}", "1.00", "GBP", **change)
    snoozed = await asked(db, "S", "S", "1.00", "GBP")
    decided = await asked(db, "D", "D", "1.00", "GBP")
    claimed = await asked(db, "C", "C", "1.00", "GBP")
    held = patch(claimed, state={"assignee": "dora"})
    events = [event(claimed.case_id, 2)]
    await recorded(db, CaseRecord(case_id=claimed.case_id, status=Status.RUNNING, events=events, patched=[held]))
    async with db.write() as conn:
        await people.add(conn, "manager-1", "Mia", [], "admin-1")
        await tasks.snooze(conn, "manager-1", snoozed.task_id, datetime.now(UTC) + timedelta(days=1))
        await tasks.add_pending(conn, decision(decided, "manager-1"), decided.case_id)
    dora = Viewer(id="dora", groups=["directors"])
    viewers = [
        MANAGER,
        dora,
        Viewer(id="requester-1"),
        Viewer(id="stranger"),
        Viewer(id="auditor-1", groups=["auditors"], scope=OVERSEER),
        Viewer(id="dieter", stands_in_for=[dora]),
        Viewer(id="dieter", groups=["directors"], stands_in_for=[dora, MANAGER]),
    ]
    numbers = []
    for viewer in viewers:
        for whose in get_args(Whose):
            sought = TaskFilter(whose=whose, status="open")
            async with db.read() as conn:
                # The groups look at all tasks by other conditions than the page, which looks at one after another.
                page, _ = await task_lists.page(conn, viewer, sought, LATER)
                totals = await task_groups.groups(conn, viewer, sought, "payee", LATER)
                with pytest.MonkeyPatch.context() as patched:
                    patched.setattr(task_lists, "FEW", -1)
                    every = await task_groups.groups(conn, viewer, sought, "payee", LATER)
            shown = sorted(view.key_fields["Payee"] for view in page)
            assert sorted(group.key for group in totals) == sorted(group.key for group in every) == shown, (
                viewer.id,
                whose,
            )
            numbers.append(len(shown))
    assert len(set(numbers)) > 5


async def test_an_edited_task_is_found_and_summed_by_what_it_shows_now(db: Database) -> None:
    view = await asked(db, "A/1", "Acme", "10.00", "GBP")
    shown = {"title": "Pay Zoë", "key_fields": {"Payee": "Zoë"}, "money": {"amount": "12.34", "currency": "EUR"}}
    edit = CaseRecord(
        case_id=view.case_id,
        status=Status.AWAITING_APPROVAL,
        events=[event(view.case_id, 2)],
        patched=[patch(view, state={**shown, "input": {}})],
    )
    await recorded(db, edit)
    assert (await grouped(db, "payee"))["Zoë"].sums == {"EUR": "12.34"}
    assert await found(db, payee="Acme") == await found(db, q="acme") == []
    assert await found(db, payee="Zoë") == await found(db, q="ZOË") == await found(db, q="a/1") == [view.case_id]
    assert await found(db, q="%") == []
    plain = edit.model_copy(update={"events": [event(view.case_id, 3)], "patched": [patch(view, given=1)]})
    await recorded(db, plain)
    assert (await grouped(db, "payee"))["Zoë"].sums == {"EUR": "12.34"}
    for number, amount in enumerate(("0.12345", "9", "4000000000.5")):
        patched = patch(view, state={**shown, "money": {"amount": amount, "currency": "XAU"}, "input": {}})
        await recorded(db, edit.model_copy(update={"events": [event(view.case_id, 4 + number)], "patched": [patched]}))
        assert (await grouped(db, "payee"))["Zoë"].sums == {"XAU": amount}


async def test_both_ways_through_the_lists_find_the_same(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, candidates in enumerate((["managers"], ["directors"], ["managers", "directors"])):
        await asked(db, f"A{number}", "Acme", "1.00", "GBP", batch_id=f"b{number % 2}", candidate_groups=candidates)
    await asked(db, "B", "Bolt", "1.00", "GBP", candidate_groups=[], candidate_users=["dora"], gate="fraud-review")
    taken = await asked(db, "C", "Bolt", "1.00", "GBP", due_at=None)
    held = patch(taken, state={"assignee": "dora"})
    await recorded(
        db, CaseRecord(case_id=taken.case_id, status=Status.RUNNING, events=[event(taken.case_id, 2)], patched=[held])
    )
    people = [
        MANAGER,
        Viewer(id="dora", groups=["directors"]),
        Viewer(id="requester-1"),
        Viewer(id="stranger"),
        Viewer(id="auditor-1", groups=["auditors"], scope=OVERSEER),
        Viewer(id="dieter", stands_in_for=[Viewer(id="dora", groups=["directors"])]),
    ]
    narrowed: list[dict[str, Any]] = [
        {},
        {"payee": "Bolt"},
        {"requester": "requester-1"},
        {"batch_id": "b1"},
        {"q": "acme"},
    ]
    narrowed += [
        {"group": "directors"},
        {"process": "payment", "gate": "fraud-review"},
        {"due": "none"},
        {"due": "today"},
    ]

    lists = [(viewer, TaskFilter(whose=whose, status="open")) for viewer in people for whose in get_args(Whose)]
    lists += [(people[1], TaskFilter(status="open", **filters)) for filters in narrowed]

    async def all_lists() -> list[list[str]]:
        async with db.read() as conn:
            return [
                [view.case_id for view in (await task_lists.page(conn, viewer, sought, LATER))[0]]
                for viewer, sought in lists
            ]

    few = await all_lists()
    monkeypatch.setattr(task_lists, "FEW", -1)
    many = await all_lists()
    assert few == many
    assert [len(each) for each in few[: 3 * len(people)]] == [2, 0, 3, 4, 1, 4, 0, 0, 5, 0, 0, 0, 0, 0, 5, 3, 0, 3]
    assert [len(each) for each in few[3 * len(people) :]] == [4, 2, 4, 1, 2, 2, 1, 1, 3]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_words_and_payees_are_looked_for_in_narrow_indexes(db: Database) -> None:
    said: list[str] = []

    def listen(_conn: Any, _cursor: Any, sql: str, *_: Any) -> None:
        said.append(sql)

    sql_event.listen(Engine, "before_cursor_execute", listen)
    try:
        await found(db, q="nobody")
        await found(db, payee="Nobody")
    finally:
        sql_event.remove(Engine, "before_cursor_execute", listen)
    plans = []
    async with db.read() as conn:
        assert isinstance(conn, SqliteConnection)
        for statement in [sql for sql in said if sql.startswith("SELECT tasks.task_id \nFROM tasks")]:
            rows = conn.now(f"EXPLAIN QUERY PLAN {statement}", tuple("?" * statement.count("?")))
            plans.append(" ".join(detail for *_, detail in rows))
    assert any("COVERING INDEX ix_tasks_words" in plan for plan in plans), plans
    assert any("INDEX ix_tasks_subject" in plan for plan in plans), plans
    assert not any(plan.startswith("SCAN") for plan in plans), plans


async def moved(db: Database, view: TaskView, number: int, **changes: Any) -> None:
    patched = [patch(view, **changes)]
    at = [event(view.case_id, number)]
    await recorded(db, CaseRecord(case_id=view.case_id, status=Status.AWAITING_APPROVAL, events=at, patched=patched))


@pytest.mark.parametrize("sort", get_args(Sort))
@pytest.mark.parametrize("limit", [1, *(pytest.param(limit, marks=pytest.mark.soak) for limit in (2, 3, 5))])
async def test_whatever_moves_while_somebody_pages_no_task_is_left_out(db: Database, sort: Sort, limit: int) -> None:
    """The last tasks become the first while the first page is read, and the other way round."""
    now = datetime.now(UTC)
    tasks = [
        await asked(db, f"M{n}", "Acme", "1.00", "GBP", due_at=now + timedelta(hours=n), priority=1 + n // 2)
        for n in range(7)
    ]
    seen: list[str] = []
    cursor, pages = None, 0
    while True:
        async with db.read() as conn:
            page, cursor = await task_lists.page(
                conn, MANAGER, TaskFilter(status="open"), now, sort=sort, cursor=cursor, limit=limit
            )
        assert len(page) <= limit
        seen += [view.task_id for view in page]
        pages += 1
        if pages == 1:
            await moved(db, tasks[6], 2, due_at=now - timedelta(hours=1), priority=1)
            await moved(db, tasks[5], 2, due_at=now - timedelta(hours=2), priority=1)
            await moved(db, tasks[0], 2, due_at=now + timedelta(hours=9), priority=5)
            await moved(db, tasks[3], 2, due_at=None, priority=2)
        if cursor is None:
            break
    assert set(seen) == {task.task_id for task in tasks}
    twice = {each for each in seen if seen.count(each) > 1}
    assert twice <= {tasks[number].task_id for number in (0, 3, 5, 6)}


async def test_a_task_that_did_not_move_comes_once_and_a_patch_of_something_else_moves_none(db: Database) -> None:
    now = datetime.now(UTC)
    tasks = [await asked(db, f"S{n}", "Acme", "1.00", "GBP", due_at=now + timedelta(hours=n)) for n in range(5)]
    for view in tasks:
        await moved(db, view, 2, given=1, due_at=view.due_at)
    async with db.read() as conn:
        first, cursor = await task_lists.page(conn, MANAGER, TaskFilter(), now, limit=3)
        second, end = await task_lists.page(conn, MANAGER, TaskFilter(), now, cursor=cursor, limit=3)
    assert [view.task_id for view in [*first, *second]] == [view.task_id for view in tasks]
    assert end is None


@pytest.mark.parametrize(
    "forged",
    [
        cursors.encode(None, None, None, None),
        cursors.encode("soon", "t", MORNING, False),
        cursors.encode(None, "t", MORNING - timedelta(days=365), True),
        cursors.encode(None, "t", "0001-01-01T00:00:00+00:00", True),
        cursors.encode(MORNING, "t"),
        "nonsense",
    ],
)
async def test_a_cursor_that_is_not_ours_is_refused(db: Database, forged: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        async with db.read() as conn:
            await task_lists.page(conn, MANAGER, TaskFilter(), datetime.now(UTC), cursor=forged)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("by", ["payee", "step"])
async def test_groups_are_read_from_one_index_in_its_order(db: Database, by: By) -> None:
    said: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, sql: str, values: Any, *_: Any) -> None:
        said.append((sql, values))

    sql_event.listen(Engine, "before_cursor_execute", listen)
    async with db.read() as conn:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(task_lists, "FEW", -1)
            await task_groups.groups(conn, MANAGER, TaskFilter(whose="mine", status="open"), by, LATER)
        sql_event.remove(Engine, "before_cursor_execute", listen)
        statement, values = said[-1]
        assert isinstance(conn, SqliteConnection)
        plan = " ".join(detail for *_, detail in conn.now(f"EXPLAIN QUERY PLAN {statement}", values))
    assert "tasks USING COVERING INDEX ix_tasks_open" in plan
    assert "TEMP B-TREE" not in plan
