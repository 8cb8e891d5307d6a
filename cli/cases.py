"""The commands about cases: `cases`, `case`, `cancel`, `start-now`, `rollback` and `export`."""

import csv
from pathlib import Path
from typing import Annotated

import typer

from cli import output, shown_tasks
from cli.common import ADMIN, download, gateway_as, print_answer
from cli.options import AsJson, AsPerson, Limit
from core.settings import load as load_settings

app = typer.Typer()


@app.command()
def export(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The CSV to write. A file of this name is replaced.")
    ],
    process: Annotated[str | None, typer.Option(help="Only cases of this process.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only this status, such as awaiting_approval or completed.")
    ] = None,
    batch_id: Annotated[
        str | None, typer.Option("--batch", metavar="ID", help="Only cases of this upload, by its id.")
    ] = None,
    requester: Annotated[str | None, typer.Option(metavar="PERSON", help="Only cases of this requester.")] = None,
    q: Annotated[str | None, typer.Option("--q", help="A part of the reference, title or id.")] = None,
    person: AsPerson = None,
) -> None:
    """Write cases and their results to a CSV file. No spreadsheet reads a cell as a formula."""
    remote = gateway_as(person, ADMIN)
    sought = {"process": process, "status": status, "batch_id": batch_id, "requester": requester, "q": q}
    download(remote, "cases", out, **sought)
    with out.open(newline="", encoding="utf-8-sig") as written:
        number = sum(1 for _ in csv.reader(written)) - 1
    output.say(f"{number:,} cases are in {out}")


@app.command()
def cases(
    status: Annotated[
        str | None, typer.Option(help="Only this status, such as awaiting_approval or completed.")
    ] = None,
    process: Annotated[str | None, typer.Option(help="Only cases of this process.")] = None,
    q: Annotated[str | None, typer.Option("--q", help="A part of the reference, title or id.")] = None,
    limit: Limit = 50,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """List cases, newest first."""
    found = gateway_as(person, ADMIN).get("cases", status=status, process=process, q=q, limit=limit)
    columns = ("Case", "Status", "Title", "Requester", "Created")
    print_answer(
        found,
        as_json,
        lambda page: output.table_of(
            columns,
            [
                (
                    each["case_id"],
                    output.state(each["status"]),
                    each["title"],
                    each["requester"],
                    output.when(each["created_at"]),
                )
                for each in page["items"]
            ],
            more=page["next_cursor"],
        ),
    )


@app.command()
def case(
    case_id: Annotated[str, typer.Argument(metavar="CASE", help="The id of a case, such as payment:inv-1042.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Show one case: its tasks, its history, and what an approval and a rejection do."""
    from cli.client import part

    gateway = gateway_as(person, ADMIN)
    page = f"{gateway.url}/cases/{part(case_id)}"
    found = gateway.get(f"cases/{part(case_id)}")
    print_answer(found, as_json, lambda found: output.case(found, page))
    if not as_json:
        for each in found["tasks"]:
            if each["status"] == "open":
                output.if_approved(gateway.get(f"tasks/{part(each['task_id'])}"))
    shown_tasks.remember(load_settings().var, found["tasks"])


@app.command()
def cancel(
    case_id: Annotated[str, typer.Argument(metavar="CASE", help="The id of a case.")],
    reason: Annotated[str, typer.Option(help="The reason, for the audit log.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Cancel a case: the case undoes its completed steps and ends as cancelled."""
    from cli.client import part

    answer = gateway_as(person, ADMIN).post(f"cases/{part(case_id)}/cancel", {"reason": reason})
    print_answer(
        answer,
        as_json,
        lambda _: output.say(f"{case_id} is being cancelled; './holdgate case {case_id}' shows how it ends"),
    )


@app.command("start-now")
def start_now(
    case_id: Annotated[str, typer.Argument(metavar="CASE", help="The id of a scheduled case.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Start a scheduled case before its time.

    Only the requester of the case (or the successor of the requester), operators and admins can start a case early.
    """
    from cli.client import part

    answer = gateway_as(person, ADMIN).post(f"cases/{part(case_id)}/start", {})
    print_answer(
        answer, as_json, lambda said: output.say(f"{case_id} was started and is {output.state(said['status'])}")
    )


@app.command()
def rollback(
    case_id: Annotated[str, typer.Argument(metavar="CASE", help="The id of a completed case.")],
    reason: Annotated[str, typer.Option(help="The reason, for the audit log.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Roll back a completed case.

    Only operators and admins can roll back a case; the policy may ask people to approve the rollback first.
    """
    from cli.client import part

    answer = gateway_as(person, ADMIN).post(f"cases/{part(case_id)}/rollback", {"reason": reason})
    print_answer(
        answer,
        as_json,
        lambda said: output.say(
            f"{case_id} is {output.state(said['status'])}; './holdgate case {case_id}' shows how it ends"
        ),
    )
