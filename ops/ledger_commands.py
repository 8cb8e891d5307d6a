"""The commands `./holdgate ledger ...`: accounts, beside the database, and what two administrators do together."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from ops import show
from ops.cli_common import ADMIN, AsJson, AsPerson, Mistake, ResultT, answer, gateway, in_database, operator

if TYPE_CHECKING:  # imported by the commands that need it
    from store.db.database import Database
    from store.receivers.ledger import Ledger

ledger_app = typer.Typer(help="Accounts of the ledger: opened and funded by two administrators.", no_args_is_help=True)

Account = Annotated[str, typer.Argument(metavar="ACCOUNT")]


@ledger_app.command("lock")
def ledger_lock(account: Account) -> None:
    """Let payments from an account wait, while it is reconciled, say."""
    _of_ledger(lambda ledger: ledger.set_locked(account, True, by=operator()))
    show.say(f"{account} is locked: steps that want money from it are tried for a minute, then operators are asked")


@ledger_app.command("unlock")
def ledger_unlock(account: Account) -> None:
    """Let payments be made from an account again."""
    _of_ledger(lambda ledger: ledger.set_locked(account, False, by=operator()))
    show.say(f"{account} is unlocked: operators may now retry what has failed")


@ledger_app.command("close-books")
def ledger_close_books(
    account: Account,
    until: Annotated[
        str, typer.Option(metavar="DAY", help="Such as 2026-11-30: up to its end, in UTC; or a moment with its offset.")
    ],
) -> None:
    """Let payments from an account up to a day no longer be taken back: its month is closed. There is no way back."""
    from store.receivers.ledger import closed_in_words, closing_moment

    async def close(ledger: "Ledger") -> str:
        moment = closing_moment(until)
        await ledger.close_books(account, moment, by=operator())
        return closed_in_words(moment)

    closed = _of_ledger(close)
    show.say(f"the books of {account} are closed up to {closed}: what was paid until then can no longer be taken back")


Currency = Annotated[str, typer.Argument(metavar="CURRENCY", help="The three capital letters of ISO 4217, as GBP.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit log.")]
ChangeId = Annotated[str, typer.Argument(metavar="CHANGE", help="As './holdgate ledger changes' names it.")]
Key = Annotated[str | None, typer.Option("--key", help="Yours: a repeat with the same key asks for nothing more.")]


@ledger_app.command("open")
def ledger_open(
    account: Account,
    currency: Currency,
    reason: Reason,
    amount: Annotated[str | None, typer.Option(help="What it begins with, as 250000.00. Without it: nothing.")] = None,
    key: Key = None,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Ask for an account that payments are made from. Another administrator confirms it."""
    body = {"account": account, "currency": currency, "reason": reason, "amount": amount}
    made = gateway(person, ADMIN).post("ledger/accounts", body, key)
    answer(made, as_json, _asked)


@ledger_app.command("fund")
def ledger_fund(
    account: Account,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="A plain number, such as 250000.00.")],
    currency: Currency,
    reason: Reason,
    key: Key = None,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Ask for money to be put into an account. Another administrator confirms it."""
    body = {"currency": currency, "reason": reason, "amount": amount}
    made = gateway(person, ADMIN).post(f"ledger/accounts/{quote(account, safe='')}/funds", body, key)
    answer(made, as_json, _asked)


@ledger_app.command("accounts")
def ledger_accounts(person: AsPerson = None, as_json: AsJson = False) -> None:
    """List the accounts that payments are made from."""
    columns = ("Account", "Currency", "Balance", "Held", "Available")
    found = gateway(person, ADMIN).get("ledger/accounts")
    names = ("account", "currency", "balance", "held", "available")
    answer(
        found, as_json, lambda all_: show.table_of(columns, [[each[name] for name in names] for each in all_["items"]])
    )


@ledger_app.command("changes")
def ledger_changes(
    status: Annotated[
        str | None, typer.Option(help="waiting, confirmed, withdrawn or expired. Without it: all.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 50,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """List what was asked for and what became of it, newest first."""
    found = gateway(person, ADMIN).get("ledger/changes", status=status, limit=limit)
    columns = ("Change", "Status", "What", "Account", "Amount", "Asked by", "Asked at", "Closed by", "Reason")

    def row(each: dict[str, Any]) -> list[str]:
        money = f"{each['amount']} {each['currency']}" if each["amount"] else each["currency"]
        who = (each["asked_by"], show.when(each["asked_at"]), each["closed_by"] or "", each["reason"])
        return [each["change_id"], each["status"], each["kind"], each["account"], money, *who]

    answer(found, as_json, lambda page: show.table_of(columns, [*map(row, page["items"])], page["next_cursor"]))


@ledger_app.command("confirm")
def ledger_confirm(change: ChangeId, person: AsPerson = None, as_json: AsJson = False) -> None:
    """Let a change take effect that another administrator asked for."""
    done = gateway(person, ADMIN).post(f"ledger/changes/{quote(change, safe='')}/confirm", {})
    answer(done, as_json, lambda _: show.say(f"{change} is confirmed and done"))


@ledger_app.command("withdraw")
def ledger_withdraw(change: ChangeId, person: AsPerson = None, as_json: AsJson = False) -> None:
    """Call off a change that waits."""
    done = gateway(person, ADMIN).post(f"ledger/changes/{quote(change, safe='')}/withdraw", {})
    answer(done, as_json, lambda _: show.say(f"{change} is withdrawn; nothing was changed"))


def _asked(made: dict[str, Any]) -> None:
    show.say(
        f"{made['change_id']} waits until {show.when(made['expires_at'])} for another administrator to confirm it:"
    )
    show.say(f"  ./holdgate ledger confirm {made['change_id']}")


def _of_ledger(work: "Callable[[Ledger], Coroutine[Any, Any, ResultT]]") -> ResultT:
    """Change an account."""
    from store.receivers.ledger import Ledger
    from store.receivers.ledger_reading import UnknownAccount

    async def change(database: "Database") -> ResultT:
        try:
            return await work(Ledger(database))
        except UnknownAccount as wrong:
            raise Mistake(str(wrong)) from wrong

    return in_database(change)
