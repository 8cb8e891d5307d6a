"""The content of a message: its notifications with all details, as they are when the message is written."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, exists, func, null, or_, select

from domain.names import REQUESTERS
from domain.notification import MAIL, AccountNotice, Letter, Notice, NoticeKind, NoticeTask
from domain.status import Outcome, Status
from domain.task import DecisionView
from store.cases.visibility import PERSONAL
from store.db.connection import AsyncConnection
from store.tables.cases import candidates, case_requesters, cases, decisions, tasks
from store.tables.notifications import account_news, messages, notices
from store.tables.people import absences, memberships, people


async def letter(conn: AsyncConnection, message_id: str, money: Mapping[str, tuple[str, str]]) -> Letter | None:
    """Return the message with its notifications in the order of the audit log.

    Return None if the person who gets the message is not active any more.

    `money` maps a process to the input fields with an amount and its currency.
    """
    reader = (
        select(
            *(people.c.id, people.c.name, people.c.email, people.c.former_email),
            *(messages.c.former, messages.c.news_id, *(account_news.c[name] for name in ("kind", "at", "by", "about"))),
        )
        .join(messages, messages.c.person == people.c.id)
        .outerjoin(account_news, account_news.c.news_id == messages.c.news_id)
        .where(messages.c.message_id == message_id, people.c.active)
    )
    person = (await conn.execute(reader)).one_or_none()
    if person is None:
        return None
    to = {"person": person.id, "name": person.name, "address": person.former_email if person.former else person.email}
    if person.news_id is not None:
        news = AccountNotice(kind=person.kind, at=person.at, by=person.by, about=person.about)
        return Letter(message_id=message_id, **to, notices=[], account=news)
    rows = (await conn.execute(_lines(money).where(notices.c.message_id == message_id))).all()
    given = await _decisions(conn, message_id)
    return Letter(
        message_id=message_id,
        **to,
        notices=[_notice(row, given) for row in rows],
    )


async def link_of(conn: AsyncConnection, message_id: str) -> str | None:
    """Return the one-time link in a message; None if the message has none, or does not go by mail to the current
    address of the person.
    """
    query = select(account_news.c.link_id).join(messages, messages.c.news_id == account_news.c.news_id)
    query = query.where(messages.c.message_id == message_id, ~messages.c.former, messages.c.channel == MAIL)
    found: str | None = await conn.scalar(query)
    return found


def _lines(money: Mapping[str, tuple[str, str]]) -> Any:
    """Return a query with one row for each notification and its details.

    From the input of a case only the amount is read.
    """

    def field(number: int) -> ColumnElement[Any]:
        paths = {process: cases.c.input[names[number]].as_string() for process, names in money.items()}
        return case(paths, value=cases.c.process) if paths else null()

    asker, behalf = people.alias("asker"), people.alias("behalf")
    return (
        select(
            notices.c.kind.label("notice"),
            cases.c.case_id,
            cases.c.process,
            cases.c.title,
            cases.c.status,
            cases.c.requester,
            cases.c.asked_for,
            func.coalesce(asker.c.name, cases.c.requester).label("requester_name"),
            func.coalesce(behalf.c.name, cases.c.on_behalf_of).label("behalf_name"),
            cases.c.result,
            field(0).label("amount"),
            field(1).label("currency"),
            tasks.c.task_id,
            tasks.c.gate,
            tasks.c.kind,
            tasks.c.view["summary"].as_string().label("question"),
            tasks.c.outcome,
            tasks.c.due_at,
            tasks.c.expires_at,
            waits_for(notices.c.task_id, notices.c.person).label("waiting"),
        )
        .join(cases, cases.c.case_id == notices.c.case_id)
        .outerjoin(tasks, tasks.c.task_id == notices.c.task_id)
        .outerjoin(asker, asker.c.id == cases.c.requester)
        .outerjoin(behalf, behalf.c.id == cases.c.on_behalf_of)
        .order_by(notices.c.position)
    )


async def _decisions(conn: AsyncConnection, message_id: str) -> Mapping[str, list[DecisionView]]:
    """Return the decisions by task, with the names of people."""
    about = select(notices.c.task_id).where(notices.c.message_id == message_id)
    query = (
        select(decisions, func.coalesce(people.c.name, decisions.c.person).label("by"))
        .outerjoin(people, people.c.id == decisions.c.person)
        .where(decisions.c.task_id.in_(about), decisions.c.status == "accepted")
        .order_by(decisions.c.at, decisions.c.decision_id)
    )
    found: defaultdict[str, list[DecisionView]] = defaultdict(list)
    for row in await conn.execute(query):
        found[row.task_id].append(
            DecisionView(decision_id=row.decision_id, verdict=row.verdict, by=row.by, at=row.at, comment=row.comment)
        )
    return found


def _notice(row: Row[Any], given: Mapping[str, list[DecisionView]]) -> Notice:
    result = row.result or {}
    task = None
    if row.task_id is not None:
        task = NoticeTask(
            task_id=row.task_id,
            gate=row.gate,
            kind=row.kind,
            question=row.question,
            waiting=row.waiting,
            outcome=Outcome(row.outcome) if row.outcome else None,
            due_at=row.due_at,
            expires_at=row.expires_at,
            decisions=given.get(row.task_id, ()),
        )
    return Notice(
        kind=NoticeKind(row.notice),
        case_id=row.case_id,
        process=row.process,
        title=row.title,
        status=Status(row.status),
        requester=row.requester,
        requester_name=row.requester_name,
        asked_for=row.asked_for,
        behalf_name=row.behalf_name or "",
        reason=result.get("reason", ""),
        rule_at=result.get("rule_at", ""),
        undone=result.get("undone", ()),
        amount=row.amount,
        currency=row.currency,
        task=task,
    )


def _asks_too(case_id: ColumnElement[Any], who: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the SQL condition that the person counts as requester of the case beside its `requester`."""
    named = case_requesters.alias()
    return exists().where(named.c.case_id == case_id, named.c.person == who).correlate_except(named)


def waits_for(task_id: ColumnElement[Any], person: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the SQL condition that a task is open and that the person may decide it.

    The rules are those of `domain.permissions.places`.
    """
    asked, absent, now = tasks.alias("asked"), absences.alias("absent"), datetime.now(UTC)

    def candidate(who: ColumnElement[Any]) -> ColumnElement[bool]:
        named = candidates.alias()
        groups = select(memberships.c.group_name).where(memberships.c.person == who).correlate_except(memberships)
        means = or_(
            and_(named.c.kind.in_(PERSONAL), named.c.name == who),
            and_(named.c.kind == "group", named.c.name.in_(groups)),
        )
        return exists().where(named.c.task_id == task_id, means).correlate_except(named)

    def free(who: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return the SQL condition that the person is not excluded from deciding.

        Requesters (except for changes), people whom a rule excludes, and people who have decided already are excluded.
        """
        excluded, given = candidates.alias(), decisions.alias()
        return and_(
            or_(and_(asked.c.requester != who, ~_asks_too(asked.c.case_id, who)), asked.c.kind == "changes"),
            ~exists()
            .where(excluded.c.task_id == task_id, excluded.c.kind == "excluded", excluded.c.name == who)
            .correlate_except(excluded),
            ~exists()
            .where(
                given.c.task_id == task_id,
                or_(given.c.person == who, given.c.on_behalf_of == who),
                given.c.status.in_(("pending", "accepted")),
            )
            .correlate_except(given),
        )

    named, own_group, other = candidates.alias(), memberships.alias(), memberships.alias()
    by_name = (
        exists()
        .where(named.c.task_id == task_id, named.c.kind == "user", named.c.name == absent.c.person)
        .correlate_except(named)
    )
    shared = (
        exists()
        .where(
            own_group.c.person == person,
            other.c.person == absent.c.person,
            own_group.c.group_name == other.c.group_name,
            own_group.c.group_name != REQUESTERS,
        )
        .correlate_except(own_group, other)
    )
    instead = (
        exists()
        .where(
            or_(asked.c.substitutes == "anyone", candidate(person), and_(by_name, shared)),
            absent.c.substitute == person,
            absent.c.starts_at <= now,
            absent.c.ends_at > now,
            or_(asked.c.assignee.is_(None), asked.c.assignee == absent.c.person),
            candidate(absent.c.person),
            free(absent.c.person),
        )
        .correlate_except(absent)
    )
    own = and_(asked.c.assignee.is_(None), candidate(person))
    return (
        exists()
        .where(
            asked.c.task_id == task_id,
            asked.c.status == "open",
            free(person),
            or_(asked.c.assignee == person, own, instead),
        )
        .correlate_except(asked)
    )
