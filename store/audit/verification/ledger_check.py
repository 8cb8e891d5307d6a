"""Check the ledger: debits and credits of each entry, and the sums stored with accounts."""

from typing import Any

from sqlalchemy import exc as sql, func, select

from domain.money import in_words, major_units
from store.db.connection import AsyncConnection
from store.tables.receivers import accounts, entries, lines

_DEBITS, _CREDITS = func.sum(lines.c.debit), func.sum(lines.c.credit)


async def check(conn: AsyncConnection, case_id: str | None = None) -> list[str]:
    """Return the problems of the ledger, one sentence each.

    With `case_id`, check only the entries of this case, and not the sums stored with accounts.
    """
    try:
        of_case = [] if case_id is None else [entries.c.case_id == case_id]
        problems = await _entries(conn, of_case)
        return problems if case_id is not None else problems + await _accounts(conn)
    except (sql.DBAPIError, TypeError, ValueError, ArithmeticError):
        return ["the ledger cannot be added up: a value in it is no number (it was edited), or cannot be read"]


async def _entries(conn: AsyncConnection, where: list[Any]) -> list[str]:
    unbalanced = (
        select(lines.c.entry_id, lines.c.layer, lines.c.currency, _DEBITS.label("debits"), _CREDITS.label("credits"))
        .group_by(lines.c.entry_id, lines.c.layer, lines.c.currency)
        .having(_DEBITS != _CREDITS)
        .order_by(lines.c.entry_id)
    )
    if where:
        unbalanced = unbalanced.where(lines.c.entry_id.in_(select(entries.c.entry_id).where(*where)))
    without_lines = (
        select(entries.c.entry_id, entries.c.kind)
        .outerjoin(lines)
        .where(*where)
        .group_by(entries.c.entry_id, entries.c.kind)
        .having((func.count(lines.c.number) == 0) != (entries.c.kind == "void"))
    )
    problems = [
        f"entry {row.entry_id}: {row.layer} debits of {_words(row.debits, row.currency)}, "
        f"credits of {_words(row.credits, row.currency)}"
        for row in await conn.execute(unbalanced)
    ]
    for row in await conn.execute(without_lines):
        problems.append(f"entry {row.entry_id}: a {row.kind} must {'not ' if row.kind == 'void' else ''}have lines")
    return problems


async def _accounts(conn: AsyncConnection) -> list[str]:
    sums = select(lines.c.account, lines.c.currency, lines.c.layer, (_DEBITS - _CREDITS).label("sum")).group_by(
        lines.c.account, lines.c.currency, lines.c.layer
    )
    problems = []
    told = {(row.account, row.currency, row.layer): int(row.sum) for row in await conn.execute(sums)}
    kept_sums = select(accounts.c.name, accounts.c.currency, accounts.c.funded, accounts.c.posted, accounts.c.pending)
    for account in await conn.execute(kept_sums.order_by(accounts.c.name, accounts.c.currency)):
        name, currency = account.name, account.currency
        for layer, kept in (("posted", account.posted), ("pending", account.pending)):
            if (sum_ := told.pop((name, currency, layer), 0)) != kept:
                problems.append(
                    f"account {name} {currency}: {layer} {_words(kept, currency)}, "
                    f"by its lines {_words(sum_, currency)}"
                )
        if account.funded and account.posted + account.pending < 0:
            problems.append(f"account {name} {currency}: more money is held than the account has")
    return problems + [f"account {name} {currency}: has lines and does not exist" for name, currency, _ in told]


def _words(minor: int, currency: str) -> str:
    return in_words(major_units(minor, currency), currency)
