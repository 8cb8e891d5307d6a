"""The commands `./holdgate erase ...`, `./holdgate hold ...` and `./holdgate retention`."""

from typing import Annotated, Any

import typer

from cli import output
from cli.common import ADMIN, gateway_as, print_answer, settings_with_plugins
from cli.options import AsJson, AsPerson
from domain.durations import in_words

app = typer.Typer(
    help="Ask to erase an ended case, an upload, or a person who has left. People must approve it.",
    no_args_is_help=True,
)
holds = typer.Typer(help="Legal holds, which refuse erasures.", no_args_is_help=True)
periods = typer.Typer()

Reason = Annotated[str, typer.Option(help="Why, for the audit log. Write no names: the reason stays.")]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="case, person or upload.")]


@app.command("case")
def erase_case(
    id: Annotated[str, typer.Argument(metavar="CASE", help="The id of an ended case, such as payment:inv-1042.")],
    reason: Reason,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Ask to erase the content of an ended case."""
    _ask("cases", id, {"reason": reason}, person, as_json)


@app.command("upload")
def erase_upload(
    id: Annotated[str, typer.Argument(metavar="UPLOAD", help="The id of an ended upload.")],
    reason: Reason,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Ask to erase an upload: its file, its rows, and the content of all its cases."""
    _ask("batches", id, {"reason": reason}, person, as_json)


@app.command("person")
def erase_person(
    id: Annotated[str, typer.Argument(metavar="PERSON", help="The id of a person who has left.")],
    reason: Reason,
    cases: Annotated[
        bool, typer.Option("--cases", help="Also erase the ended cases that the person asked for.")
    ] = False,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Ask to erase a person who has left: everything but the id."""
    _ask("people", id, {"reason": reason, "cases": cases}, person, as_json)


def _ask(noun: str, id: str, body: dict[str, Any], person: str | None, as_json: bool) -> None:
    from cli.client import part

    answer = gateway_as(person, ADMIN).post(f"{noun}/{part(id)}/erase", body)
    print_answer(answer, as_json, _say)


def _say(asked: dict[str, Any]) -> None:
    request = asked["request_id"]
    begun = "was submitted" if asked["created"] else "is open already"
    output.say(f"{request} {begun}, to erase {asked['kind']} {asked['id']}")
    output.say("Nothing is erased yet: people whom the policy names for 'erasure' decide first.")
    output.say(f"'./holdgate case {request}' shows what they decided and what was erased.")


@holds.command("add")
def hold_add(
    kind: Kind,
    subject: Annotated[str, typer.Argument(metavar="ID", help="The id of the case, person or upload.")],
    reason: Reason,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Place a legal hold on a case, a person or an upload."""
    new = {"kind": kind, "subject": subject, "reason": reason}
    answer = gateway_as(person, ADMIN).post("legal-holds", new)
    print_answer(
        answer,
        as_json,
        lambda hold: output.say(f"{hold['hold_id']}: {hold['kind']} {hold['subject']} cannot be erased any more"),
    )


@holds.command("list")
def hold_list(
    lifted: Annotated[bool, typer.Option("--lifted", help="Also holds that were lifted.")] = False,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """List legal holds."""
    remote = gateway_as(person, ADMIN)
    found = {"items": [], "next_cursor": ""}
    while found["next_cursor"] is not None:
        page = remote.get("legal-holds", lifted=lifted, limit=200, cursor=found["next_cursor"] or None)
        found = {"items": found["items"] + page["items"], "next_cursor": page["next_cursor"]}
    columns = ("Hold", "What", "ID", "Reason", "Placed by", "Placed", "Lifted")
    rows = [
        (
            *(each[name] for name in ("hold_id", "kind", "subject", "reason", "placed_by")),
            output.when(each["placed_at"]),
            output.when(each["lifted_at"]) if each["lifted_at"] else "",
        )
        for each in found["items"]
    ]
    print_answer(found["items"], as_json, lambda _: output.table_of(columns, rows))


@holds.command("lift")
def hold_lift(
    hold_id: Annotated[str, typer.Argument(metavar="HOLD", help="The id of a hold, as 'hold list' shows it.")],
    reason: Reason,
    person: AsPerson = None,
) -> None:
    """Lift a legal hold."""
    from cli.client import part

    gateway_as(person, ADMIN).delete(f"legal-holds/{part(hold_id)}", {"reason": reason})
    output.say(f"{hold_id} is lifted")


@periods.command("retention")
def retention(as_json: AsJson = False) -> None:
    """Show how long the content of ended cases is kept, by process (HOLDGATE_RETENTION)."""
    from plugins import loader
    from workflows.registry import PROCESSES

    kept = loader.retention(settings_with_plugins().retention)
    found = {name: kept[name].days if name in kept else None for name in PROCESSES}
    rows = [(name, in_words(kept[name]) if name in kept else "for ever") for name in PROCESSES]
    print_answer(found, as_json, lambda _: output.table_of(("Process", "Kept after the end"), rows))
