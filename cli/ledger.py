"""The commands `./holdgate ledger ...`: accounts of the ledger, and changes that two administrators make together."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from cli import output
from cli.common import ADMIN, CommandError, ResultT, gateway_as, in_database, operator, print_answer
from cli.options import AsJson, AsPerson, Limit

if TYPE_CHECKING:  # imported by the commands that need it
    from store.db.database import Database
    from store.receivers.ledger import Ledger

app = typer.Typer(help="Accounts of the ledger, opened and funded by two administrators.", no_args_is_help=True)

Account = Annotated[str, typer.Argument(metavar="ACCOUNT")]


@app.command("lock")
def ledger_lock(account: Account) -> None:
    """Lock an account, for example during a reconciliation.

    A payment from the account is tried for a minute. Then an operator must decide about the payment.
    """
    _of_ledger(lambda ledger: ledger.set_locked(account, True, by=operator()))
    output.say(f"{account} is locked: payments from the account are tried for a minute, then operators are asked")


@app.command("unlock")
def ledger_unlock(account: Account) -> None:
    """Unlock an account: new payments from the account are made, and operators can retry those that failed."""
    _of_ledger(lambda ledger: ledger.set_locked(account, False, by=operator()))
    output.say(f"{account} is unlocked: operators can now retry the failed steps")


@app.command("close-books")
def ledger_close_books(
    account: Account,
    until: Annotated[
        str,
        typer.Option(
            metavar="DAY", help="The last day, such as 2026-11-30 (in UTC); or a date with a time and offset."
        ),
    ],
) -> None:
    """Close the books of an account: payments up to a day can no longer be undone. You cannot open the books again."""
    from store.receivers.ledger import closed_in_words, closing_moment

    async def close(ledger: "Ledger") -> str:
        moment = closing_moment(until)
        await ledger.close_books(account, moment, by=operator())
        return closed_in_words(moment)

    closed = _of_ledger(close)
    output.say(f"the books of {account} are closed up to {closed}: payments up to that moment can no longer be undone")


Currency = Annotated[str, typer.Argument(metavar="CURRENCY", help="The code of ISO 4217, such as GBP.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the audit log.")]
ChangeId = Annotated[
    str, typer.Argument(metavar="CHANGE", help="The id of the change, as './holdgate ledger changes' shows it.")
]
Key = Annotated[
    str | None,
    typer.Option("--key", help="A key of your choice. The same command with the same key takes effect once."),
]


@app.command("open")
def ledger_open(
    account: Account,
    currency: Currency,
    reason: Reason,
    amount: Annotated[str | None, typer.Option(help="The first balance, such as 250000.00. Default: zero.")] = None,
    key: Key = None,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Request a new account for payments. Another administrator must confirm the request."""
    body = {"account": account, "currency": currency, "reason": reason, "amount": amount}
    made = gateway_as(person, ADMIN).post("ledger/accounts", body, key)
    print_answer(made, as_json, _asked)


@app.command("fund")
def ledger_fund(
    account: Account,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="A plain number, such as 250000.00.")],
    currency: Currency,
    reason: Reason,
    key: Key = None,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Request a deposit into an account. Another administrator must confirm the request."""
    body = {"currency": currency, "reason": reason, "amount": amount}
    made = gateway_as(person, ADMIN).post(f"ledger/accounts/{quote(account, safe='')}/funds", body, key)
    print_answer(made, as_json, _asked)


@app.command("accounts")
def ledger_accounts(person: AsPerson = None, as_json: AsJson = False) -> None:
    """List the accounts for payments with their balances."""
    columns = ("Account", "Currency", "Balance", "Held", "Available")
    found = gateway_as(person, ADMIN).get("ledger/accounts")
    names = ("account", "currency", "balance", "held", "available")
    print_answer(
        found,
        as_json,
        lambda all_: output.table_of(columns, [[each[name] for name in names] for each in all_["items"]]),
    )


@app.command("changes")
def ledger_changes(
    status: Annotated[str | None, typer.Option(help="waiting, confirmed, withdrawn or expired. Default: all.")] = None,
    limit: Limit = 50,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """List requested new accounts and deposits with their status, newest first."""
    found = gateway_as(person, ADMIN).get("ledger/changes", status=status, limit=limit)
    columns = ("Change", "Status", "What", "Account", "Amount", "Asked by", "Asked at", "Closed by", "Reason")

    def row(each: dict[str, Any]) -> list[str]:
        money = f"{each['amount']} {each['currency']}" if each["amount"] else each["currency"]
        who = (each["asked_by"], output.when(each["asked_at"]), each["closed_by"] or "", each["reason"])
        return [each["change_id"], each["status"], each["kind"], each["account"], money, *who]

    print_answer(found, as_json, lambda page: output.table_of(columns, [*map(row, page["items"])], page["next_cursor"]))


@app.command("confirm")
def ledger_confirm(change: ChangeId, person: AsPerson = None, as_json: AsJson = False) -> None:
    """Confirm a new account or a deposit that another administrator requested."""
    done = gateway_as(person, ADMIN).post(f"ledger/changes/{quote(change, safe='')}/confirm", {})
    print_answer(done, as_json, lambda _: output.say(f"{change} is confirmed and applied"))


@app.command("withdraw")
def ledger_withdraw(change: ChangeId, person: AsPerson = None, as_json: AsJson = False) -> None:
    """Withdraw a new account or a deposit that nobody has confirmed yet."""
    done = gateway_as(person, ADMIN).post(f"ledger/changes/{quote(change, safe='')}/withdraw", {})
    print_answer(done, as_json, lambda _: output.say(f"{change} is withdrawn; nothing was changed"))


def _asked(made: dict[str, Any]) -> None:
    output.say(
        f"{made['change_id']} waits until {output.when(made['expires_at'])} for another administrator to confirm it:"
    )
    output.say(f"  ./holdgate ledger confirm {made['change_id']}")


def _of_ledger(work: "Callable[[Ledger], Coroutine[Any, Any, ResultT]]") -> ResultT:
    """Run `work` with the ledger of the database and return its result. Raises CommandError if the ledger refuses."""
    from store.receivers.ledger import Ledger
    from store.receivers.ledger_reading import UnknownLedgerAccount

    async def change(database: "Database") -> ResultT:
        try:
            return await work(Ledger(database))
        except UnknownLedgerAccount as wrong:
            raise CommandError(str(wrong)) from wrong

    return in_database(change)
