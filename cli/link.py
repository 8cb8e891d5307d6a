"""The commands `./holdgate link ...`: one-time links, with which people set a password or get a token."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli import output
from cli.common import ADMIN, gateway_as, print_answer
from cli.options import AsJson, AsPerson

app = typer.Typer(help="One-time links, with which people set a password or get a token.", no_args_is_help=True)

LinkId = Annotated[str, typer.Argument(metavar="LINK", help="The id of the link, as './holdgate link list' shows it.")]


@app.command("send")
def link_send(
    who: Annotated[str, typer.Argument(metavar="ID", help="The person's id.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Send a person a one-time link by mail. Some links need the confirmation of another administrator.

    If Holdgate sends no mail, or the person has no address, each of two administrators gets half of the code of the
    link.
    """
    made = gateway_as(person, ADMIN).post(f"people/{quote(who, safe='')}/link", {})
    print_answer(made, as_json, _made)


@app.command("list")
def link_list(person: AsPerson = None, as_json: AsJson = False) -> None:
    """List one-time links that wait for confirmation or can be used."""
    found = gateway_as(person, ADMIN).get("one-time-links")
    columns = ("Link", "Status", "For", "Address", "Asked by", "Asked at", "Until")

    def row(each: dict[str, Any]) -> list[str]:
        who = [each["link_id"], each["status"], each["person"], each["address"] or "", each["asked_by"]]
        return [*who, output.when(each["asked_at"]), output.when(each["expires_at"])]

    print_answer(found, as_json, lambda page: output.table_of(columns, [*map(row, page["items"])]))


@app.command("confirm")
def link_confirm(link: LinkId, person: AsPerson = None, as_json: AsJson = False) -> None:
    """Confirm a one-time link that another administrator requested."""
    done = gateway_as(person, ADMIN).post(f"one-time-links/{quote(link, safe='')}/confirm", {})
    print_answer(done, as_json, _made)


@app.command("withdraw")
def link_withdraw(link: LinkId, person: AsPerson = None, as_json: AsJson = False) -> None:
    """Withdraw a one-time link, so that nobody can use it."""
    done = gateway_as(person, ADMIN).post(f"one-time-links/{quote(link, safe='')}/withdraw", {})
    print_answer(done, as_json, lambda _: output.say(f"{link} is withdrawn and no longer works"))


def _made(made: dict[str, Any]) -> None:
    if made["status"] == "waiting":
        output.say(f"{made['link_id']} waits until {output.when(made['expires_at'])} for another administrator:")
        output.say(f"  ./holdgate link confirm {made['link_id']}")
    elif made["way"] == "mail":
        output.say(f"the link goes to the address on record of {made['person']}; it works once, within 24 hours")
    else:
        output.say(f"{made['person']} can use both halves of the code now, once, within 24 hours")
    if made["half"]:
        output.say(f"your half of the code, shown only now; give it to {made['person']} yourself:")
        output.say(f"  {made['half']}")
