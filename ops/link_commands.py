"""The commands `./holdgate link ...`: one-time links, by which people set a password or get a token for themselves."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from ops import show
from ops.cli_common import ADMIN, AsJson, AsPerson, answer, gateway

link_app = typer.Typer(
    help="One-time links, by which people set a password or get a token for themselves.", no_args_is_help=True
)

LinkId = Annotated[str, typer.Argument(metavar="LINK", help="As './holdgate link list' names it.")]


@link_app.command("send")
def link_send(
    who: Annotated[str, typer.Argument(metavar="ID", help="The person's id.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Send a person a one-time link, to the address on record. Sometimes another administrator has to confirm it."""
    made = gateway(person, ADMIN).post(f"people/{quote(who, safe='')}/link", {})
    answer(made, as_json, _made)


@link_app.command("list")
def link_list(person: AsPerson = None, as_json: AsJson = False) -> None:
    """List links that wait for another administrator, or can be used."""
    found = gateway(person, ADMIN).get("one-time-links")
    columns = ("Link", "Status", "For", "Address", "Asked by", "Asked at", "Until")

    def row(each: dict[str, Any]) -> list[str]:
        who = [each["link_id"], each["status"], each["person"], each["address"] or "", each["asked_by"]]
        return [*who, show.when(each["asked_at"]), show.when(each["expires_at"])]

    answer(found, as_json, lambda page: show.table_of(columns, [*map(row, page["items"])]))


@link_app.command("confirm")
def link_confirm(link: LinkId, person: AsPerson = None, as_json: AsJson = False) -> None:
    """Let a link take effect that another administrator asked for."""
    done = gateway(person, ADMIN).post(f"one-time-links/{quote(link, safe='')}/confirm", {})
    answer(done, as_json, _made)


@link_app.command("withdraw")
def link_withdraw(link: LinkId, person: AsPerson = None, as_json: AsJson = False) -> None:
    """Call off a link."""
    done = gateway(person, ADMIN).post(f"one-time-links/{quote(link, safe='')}/withdraw", {})
    answer(done, as_json, lambda _: show.say(f"{link} is withdrawn; it opens nothing"))


def _made(made: dict[str, Any]) -> None:
    if made["status"] == "waiting":
        show.say(f"{made['link_id']} waits until {show.when(made['expires_at'])} for another administrator:")
        show.say(f"  ./holdgate link confirm {made['link_id']}")
    elif made["way"] == "mail":
        show.say(f"the link goes to the address on record of {made['person']}; it works once, within 24 hours")
    else:
        show.say(f"{made['person']} can use both halves of the code now, once, within 24 hours")
    if made["half"]:
        show.say(f"your half of the code, shown only now; give it to {made['person']} yourself:")
        show.say(f"  {made['half']}")
