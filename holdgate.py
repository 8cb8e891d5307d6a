"""The command line: `./holdgate COMMAND`.

What concerns cases goes through the public HTTP API, so it works from any machine with a token. People and the audit
log are managed beside the database. Exit codes: 0 done; 1 refused, or problems were found; 2 it could not be asked; 130
ended by Ctrl-C.
"""

import asyncio
import csv
import importlib.util
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from core import settings as configuration
from ops import show, shown
from ops.cli_common import ADMIN, REQUESTER, AsDecider, AsJson, AsPerson, Mistake, ResultT
from ops.cli_common import answer as _answer
from ops.cli_common import gateway as _gateway
from ops.cli_common import in_database as _in_database
from ops.cli_common import operator as _operator
from ops.ledger_commands import ledger_app
from ops.link_commands import link_app
from workflows.moments import moment_text, weekday_and_time

if TYPE_CHECKING:  # the rest is imported by the commands that need it, so that `up` starts at once
    from sqlalchemy.ext.asyncio import AsyncConnection

    from intake.column_mapping import Target, WrongMapping
    from intake.saved_mappings import SavedMappings
    from ops.remote import Remote
    from policy.explain import People
    from store.db.database import Database

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: what was watched goes on, but nobody has seen its end."""


class _ShowByDefault(typer.core.TyperGroup):
    """`batch ID` means `batch show ID`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="Holdgate: durable approvals with an undo.",
    epilog="Exit codes: 0 done; 1 refused, or problems were found; 2 wrong usage or settings, or nobody answers; "
    "130 Ctrl-C.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
people_app = typer.Typer(help="People, their groups and tokens, beside the database.", no_args_is_help=True)
audit_app = typer.Typer(help="The append-only record.", no_args_is_help=True)
policy_app = typer.Typer(help="Who decides what, and when.", no_args_is_help=True)
process_app = typer.Typer(help="Processes of your own, in the folder HOLDGATE_PROCESSES.", no_args_is_help=True)
mapping_app = typer.Typer(help="How the columns of people's files are read.", no_args_is_help=True)
incidents_app = typer.Typer(help="What has failed and waits for operators.", no_args_is_help=True)
batch_app = typer.Typer(
    help="One file: './holdgate batch ID' shows what became of it.", no_args_is_help=True, cls=_ShowByDefault
)
app.add_typer(batch_app, name="batch")
app.add_typer(incidents_app, name="incidents")
app.add_typer(process_app, name="process")
app.add_typer(mapping_app, name="mapping")
app.add_typer(people_app, name="people")
app.add_typer(audit_app, name="audit")
app.add_typer(policy_app, name="policy")
app.add_typer(ledger_app, name="ledger")
app.add_typer(link_app, name="link")

Group = Annotated[str, typer.Argument(metavar="GROUP", help="As './holdgate incidents list' names it.")]
Comment = Annotated[str, typer.Option(help="Why, for the record.")]
BatchId = Annotated[str, typer.Argument(metavar="ID", help="As './holdgate batches' names it.")]
Encoding = Annotated[
    str | None, typer.Option(metavar="NAME", help="The encoding of a CSV, such as Windows-1251. Else: detected.")
]
SheetName = Annotated[
    str | None, typer.Option("--sheet", metavar="NAME", help="The sheet of a workbook. Else: the first with a table.")
]
BadRows = Annotated[
    Path | None, typer.Option("--bad-rows", metavar="FILE", help="Write the bad rows there, to mend and submit again.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Watch until all its cases are closed.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="At most so many.")]


# ------------------------------------------------------------------------------------------------------------- running


@app.command()
def up() -> None:
    """Start everything here: Temporal, worker and gateway. Stop with Ctrl-C."""
    from ops.up import main as run

    raise typer.Exit(run())


@app.command()
def worker() -> None:
    """Run one worker in the foreground."""
    runpy.run_module("worker", run_name="__main__", alter_sys=True)


@app.command()
def api() -> None:
    """Run one gateway in the foreground."""
    runpy.run_module("api", run_name="__main__", alter_sys=True)


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema, creating it when it is new. Safe to repeat, also by two at once."""
    from store.db.database import migrate as bring
    from store.db.database import normalised

    url = configuration.load().database_url
    bring(url)
    show.say(f"{normalised(url).render_as_string(hide_password=True)} is up to date")


@app.command()
def replay(
    process: Annotated[str | None, typer.Option(metavar="NAME", help="Only cases of this process.")] = None,
    case: Annotated[
        list[str] | None, typer.Option("--case", metavar="CASE", help="Only this case, closed or not; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many, the newest. Without it: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check, before a deploy, that open cases go on with the code of this checkout. Exit code 1 when one does not."""
    from ops.replay import check

    if case and (process or limit):
        raise typer.BadParameter("--case names the cases; it goes with neither --process nor --limit")
    with show.progress("replaying cases") as progress:
        found = asyncio.run(check(_with_own_processes(), process, case or [], limit, progress))
    _answer(found.as_json(), as_json, lambda _: show.replayed(found, "cases" if case else "open cases"))
    raise typer.Exit(1 if found.differences else 0)


def _say_version(wanted: bool) -> None:
    if wanted:
        pyproject = tomllib.loads((configuration.ROOT / "pyproject.toml").read_text())
        show.say(f"holdgate {pyproject['project']['version']}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None: ...


# --------------------------------------------------------------------------------------------------------------- cases


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or .xlsx: headings, and a row for each case.")],
    process: Annotated[
        str, typer.Option(help="The kind of cases in it. Without it each row says so itself, as task_type.")
    ] = "several",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and start nothing.")] = False,
    resubmit: Annotated[
        bool, typer.Option("--resubmit", help="Submit your cases that ended undone again, as their next rounds.")
    ] = False,
    mapping: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_FILE", help="A saved mapping, or a TOML or JSON file with one. Else: suggested."),
    ] = None,
    encoding: Encoding = None,
    sheet: SheetName = None,
    wait: Wait = False,
    bad_rows: BadRows = None,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Start a case for each good row of a CSV, and watch until all are started. Exit code 1 when a row is bad.

    Ctrl-C stops watching, not the batch, with exit code 130.
    """
    from ops.remote import Unusable

    if dry_run and (wait or bad_rows):
        raise typer.BadParameter("a dry run starts and keeps nothing: leave out --wait and --bad-rows")
    remote = _gateway(person, REQUESTER)
    try:
        content = file.read_bytes()
    except OSError as wrong:
        raise Unusable(f"{file} cannot be read: {wrong.strerror}") from wrong
    form = {"mapping": _mapping_of(mapping), "encoding": encoding, "sheet": sheet}
    try:
        report = remote.upload("batches", file.name, content, form, process=process, dry_run=dry_run, resubmit=resubmit)
    except KeyboardInterrupt:
        _interrupted("perhaps the file was taken; './holdgate batches' shows it if it was")
    if not dry_run:
        report = _follow(remote, report["batch_id"], wait, quiet=as_json)
    _answer_batch(remote, report, bad_rows, as_json)


@batch_app.command("show")
def batch_show(
    batch_id: BatchId,
    follow: Annotated[bool, typer.Option("--follow", help="Watch until all its rows are started.")] = False,
    wait: Wait = False,
    bad_rows: BadRows = None,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Show, or watch, what becomes of a file. Exit code 1 when a row is bad.

    Ctrl-C stops watching, not the batch, with exit code 130.
    """
    from ops.remote import part

    remote = _gateway(person, ADMIN)
    if follow or wait:
        report = _follow(remote, batch_id, wait, quiet=as_json)
    else:
        report = remote.get(f"batches/{part(batch_id)}")
    _answer_batch(remote, report, bad_rows, as_json)


@batch_app.command("pause")
def batch_pause(
    batch_id: BatchId,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Start no more rows of a file for now. Cases that are started go on."""
    _steer(batch_id, "pause", {"reason": reason}, person, as_json)


@batch_app.command("resume")
def batch_resume(
    batch_id: BatchId,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a file that was paused."""
    _steer(batch_id, "resume", {"reason": reason}, person, as_json)


@batch_app.command("cancel")
def batch_cancel(
    batch_id: BatchId,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    roll_back: Annotated[bool, typer.Option("--roll-back", help="Undo what its cases did, too.")] = False,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Start no more rows of a file, ever. Cases that are started go on, unless they are rolled back."""
    _steer(batch_id, "cancel", {"reason": reason, "rollback_started": roll_back}, person, as_json)


@app.command()
def batches(
    process: Annotated[str | None, typer.Option(help="The kind of cases in them.")] = None,
    status: Annotated[str | None, typer.Option(help="Such as running, paused or completed.")] = None,
    limit: Limit = 50,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """List uploaded files, newest first."""
    found = _gateway(person, ADMIN).get("batches", process=process, status=status, limit=limit)
    columns = ("Batch", "Status", "File", "Process", "Rows", "Requester", "Created")
    _answer(
        found,
        as_json,
        lambda page: show.table_of(
            columns,
            [
                (
                    each["batch_id"],
                    each["status"],
                    each["filename"],
                    each["process"],
                    f"{each['total']:,}",
                    each["requester"],
                    show.when(each["created_at"]),
                )
                for each in page["items"]
            ],
            more=page["next_cursor"],
        ),
    )


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The CSV to write; what is there is replaced.")],
    process: Annotated[str | None, typer.Option(help="The kind of case.")] = None,
    status: Annotated[str | None, typer.Option(help="Such as awaiting_approval or completed.")] = None,
    batch_id: Annotated[str | None, typer.Option("--batch", metavar="ID", help="Only cases of this file.")] = None,
    requester: Annotated[str | None, typer.Option(metavar="PERSON", help="Only those this person asked for.")] = None,
    q: Annotated[str | None, typer.Option("--q", help="Part of the reference, title or id.")] = None,
    person: AsPerson = None,
) -> None:
    """Write cases and their results as CSV. Nothing in it is a formula to a spreadsheet."""
    remote = _gateway(person, ADMIN)
    sought = {"process": process, "status": status, "batch_id": batch_id, "requester": requester, "q": q}
    _download(remote, "cases", out, **sought)
    with out.open(newline="", encoding="utf-8-sig") as written:
        number = sum(1 for _ in csv.reader(written)) - 1
    show.say(f"{number:,} cases are in {out}")


@app.command()
def cases(
    status: Annotated[str | None, typer.Option(help="Such as awaiting_approval or completed.")] = None,
    process: Annotated[str | None, typer.Option(help="The kind of case.")] = None,
    q: Annotated[str | None, typer.Option("--q", help="Part of the reference, title or id.")] = None,
    limit: Limit = 50,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """List cases, newest first."""
    found = _gateway(person, ADMIN).get("cases", status=status, process=process, q=q, limit=limit)
    columns = ("Case", "Status", "Title", "Requester", "Created")
    _answer(
        found,
        as_json,
        lambda page: show.table_of(
            columns,
            [
                (each["case_id"], each["status"], each["title"], each["requester"], show.when(each["created_at"]))
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
    """Show one case: its tasks, what happened, and what a rejection would undo and an approval do."""
    from ops.remote import part

    gateway = _gateway(person, ADMIN)
    page = f"{gateway.url}/cases/{part(case_id)}"
    found = gateway.get(f"cases/{part(case_id)}")
    _answer(found, as_json, lambda found: show.case(found, page))
    if not as_json:
        for each in found["tasks"]:
            if each["status"] == "open":
                show.if_approved(gateway.get(f"tasks/{part(each['task_id'])}"))
    shown.remember(configuration.load().var, found["tasks"])


@app.command()
def cancel(
    case_id: Annotated[str, typer.Argument(metavar="CASE", help="The id of a case.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Stop a case and undo what it did."""
    from ops.remote import part

    answer = _gateway(person, ADMIN).post(f"cases/{part(case_id)}/cancel", {"reason": reason})
    _answer(
        answer,
        as_json,
        lambda _: show.say(f"{case_id} is being cancelled; './holdgate case {case_id}' shows how it ends"),
    )


@app.command("start-now")
def start_now(
    case_id: Annotated[str, typer.Argument(metavar="CASE", help="The id of a scheduled case.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Start a scheduled case before its time. Its requester, operators and admins only."""
    from ops.remote import part

    answer = _gateway(person, ADMIN).post(f"cases/{part(case_id)}/start", {})
    _answer(answer, as_json, lambda said: show.say(f"{case_id} was started and is {said['status'].replace('_', ' ')}"))


@app.command()
def rollback(
    case_id: Annotated[str, typer.Argument(metavar="CASE", help="The id of a completed case.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Undo a completed case. Operators and admins only; where the policy says so others must approve it first."""
    from ops.remote import part

    answer = _gateway(person, ADMIN).post(f"cases/{part(case_id)}/rollback", {"reason": reason})
    _answer(
        answer,
        as_json,
        lambda said: show.say(
            f"{case_id} is {said['status'].replace('_', ' ')}; './holdgate case {case_id}' shows how it ends"
        ),
    )


# ----------------------------------------------------------------------------------------------------------- incidents


@incidents_app.command("list")
def incidents_list(
    process: Annotated[str | None, typer.Option(help="The kind of case.")] = None,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """What has failed and waits for operators: like with like, the largest group first."""
    _answer(
        _gateway(person, ADMIN).get("incidents", process=process),
        as_json,
        lambda found: show.incidents(found["items"]),
    )


@incidents_app.command("retry")
def incidents_retry(group: Group, comment: Comment = "", person: AsPerson = None) -> None:
    """Try all of a group again, a hundred at a time."""
    _answer_group(group, "retry", comment, person)


@incidents_app.command("roll-back")
def incidents_roll_back(group: Group, comment: Comment = "", person: AsPerson = None) -> None:
    """Roll all of a group back, a hundred at a time."""
    _answer_group(group, "roll_back", comment, person)


# --------------------------------------------------------------------------------------------------------------- tasks


@app.command()
def tasks(
    mine: Annotated[
        bool | None,
        typer.Option("--mine/--all", help="Those the person may decide now (default), or all open ones they may see."),
    ] = None,
    process: Annotated[str | None, typer.Option(help="The kind of case.")] = None,
    gate: Annotated[str | None, typer.Option(help="One gate, such as manager-approval.")] = None,
    q: Annotated[str | None, typer.Option("--q", help="Part of the reference, title or id.")] = None,
    limit: Limit = 50,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """List open tasks, the most urgent first. For nobody in particular: all of them, as admin-1 sees them."""
    from ops.remote import TOKEN

    if mine is None:
        mine = bool(person or os.environ.get(TOKEN))
    found = _gateway(person, ADMIN).get(
        "tasks", mine=mine, status="open", process=process, gate=gate, q=q, sort="due_at", limit=limit
    )
    _answer(found, as_json, lambda page: show.tasks(page["items"], page["next_cursor"]))
    shown.remember(configuration.load().var, found["items"])


@app.command()
def task(
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="The id of a task, or of a case with one open task.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Show one task: what is asked, and what happens when it is approved or rejected."""
    from ops.remote import part

    gateway = _gateway(person, ADMIN)
    id = _only_open_task(gateway.get(f"cases/{part(task_id)}")) if ":" in task_id else task_id
    _answer(gateway.get(f"tasks/{part(id)}"), as_json, show.task)


@app.command()
def decide(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The id of a task, or of a case that has one open task.")],
    verdict: Annotated[
        str,
        typer.Argument(
            metavar="VERDICT",
            help="approve or reject; for an intervention: retry, skip, done_by_hand or roll_back.",
        ),
    ],
    comment: Comment = "",
    edit: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Change a field of the input; may be repeated."),
    ] = None,
    revision: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="The revision that you looked at. Without it: the one that 'tasks' or 'case' showed last. "
            "A task that was not shown yet is shown, and you are asked.",
        ),
    ] = None,
    person: AsDecider = None,
    as_json: AsJson = False,
) -> None:
    """Decide a task, as it was shown to you."""
    from ops.remote import part

    remote = _gateway(person, None)
    # Only a case id has a colon: it is reserved.
    task_id = _only_open_task(remote.get(f"cases/{part(task)}")) if ":" in task else task
    edits = dict(_edit(each) for each in edit or [])
    if revision is None:
        revision = shown.revision_of(configuration.load().var, task_id)
    if revision is None:
        revision = _seen(remote.get(f"tasks/{part(task_id)}"), verdict)
    sent = {"verdict": verdict, "comment": comment, "edits": edits or None, "revision": revision}
    _answer(remote.post(f"tasks/{part(task_id)}/decision", sent), as_json, show.decision)


# ------------------------------------------------------------------------------------------------ people, audit, policy


@app.command()
def demo() -> None:
    """Load the sample story into a running demo. Safe to repeat: what is there already is only shown."""
    from ops import story
    from ops.remote import Remote, address, token

    settings = configuration.load()

    def speaks(person: str) -> Remote:
        return Remote(address(settings, os.environ), token(settings, {}, person, None))

    if not story.tell(speaks):
        raise Mistake("the story has not come to its end in time; look again with the same command")


# --------------------------------------------------------------------------------------------- beside the database


NewGroupMeant = Annotated[
    bool, typer.Option("--new-group", help="Make a group that nobody is in and no policy names, without a question.")
]


@people_app.command("add")
def people_add(
    person: Annotated[str, typer.Argument(metavar="ID", help="A short id that never changes.")],
    name: Annotated[str | None, typer.Option(help="The name as it is shown. Without it: the id.")] = None,
    group: Annotated[list[str] | None, typer.Option("--group", help="A group; may be given more than once.")] = None,
    email: Annotated[str | None, typer.Option(help="Where they get mail.")] = None,
    new_group: NewGroupMeant = False,
    as_json: AsJson = False,
) -> None:
    """Add a person. 'link send' then sends them a one-time link to sign in with."""
    from store.people import people

    added = _put_into(
        group or [],
        new_group,
        lambda connection: people.add(connection, person, name or person, group or [], by=_operator(), email=email),
        migrated=True,
    )
    groups = ", ".join(added.groups) or "no groups"
    _answer(
        added.model_dump(exclude={"stands_in_for"}),
        as_json,
        lambda _: show.say(f"added {added.id} ({added.name}): {groups}"),
    )


@people_app.command("list")
def people_list(as_json: AsJson = False) -> None:
    """List people and their groups."""
    from store.people import people

    async def everybody(database: "Database") -> list[people.Person]:
        async with database.read() as connection:
            return await people.all(connection)

    found = _in_database(everybody)
    rows = [
        (each.id, each.name, ", ".join(each.groups), each.email or "", each.manager or "", each.time_zone or "")
        for each in found
    ]
    columns = ("Id", "Name", "Groups", "Mail", "Manager", "Time zone")
    known = [person.model_dump(exclude={"stands_in_for", "comes_after"}) for person in found]
    _answer(known, as_json, lambda _: show.table_of(columns, rows))


Id = Annotated[str, typer.Argument(metavar="WHO", help="Id, name or e-mail address.")]


def _id(text: str) -> str:
    """The id of whoever is meant; also that of somebody who has left, by their id. Raises Mistake."""
    from store.people import people
    from store.people.name_resolver import id_meant

    async def look(database: "Database") -> str:
        async with database.read() as connection:
            try:
                return (await people.get(connection, text)).id
            except people.UnknownPerson:
                return await id_meant(connection, text)

    return _in_database(look)


def _of_people(work: "Callable[[AsyncConnection], Coroutine[Any, Any, ResultT]]") -> ResultT:
    """Change people, in one transaction."""

    async def change(database: "Database") -> ResultT:
        async with database.write() as connection:
            return await work(connection)

    return _in_database(change)


def _put_into(
    groups: Sequence[str],
    meant: bool,
    work: "Callable[[AsyncConnection], Coroutine[Any, Any, ResultT]]",
    *,
    migrated: bool = False,
) -> ResultT:
    """Put somebody into groups; one that nobody is in and no policy names is asked about at a terminal, and refused
    elsewhere. Raises Mistake."""
    import own
    from policy.groups import known_groups
    from policy.model import PolicyError
    from store.people.name_resolver import NewGroup, new_group

    try:
        named = known_groups(own.policy_file(_with_own_processes().policy).current)
    except (PolicyError, OSError):  # it is not made yet, or is being mended: then each new group is a question
        named = set()

    async def change(database: "Database") -> ResultT:
        async with database.write() as connection:
            doubtful = None if meant else await new_group(connection, groups, named)
            done = await work(connection)
            if doubtful:
                raise doubtful
            return done

    while True:
        try:
            return _in_database(change, migrated=migrated)
        except NewGroup as new:
            if not sys.stdin.isatty():
                raise Mistake(f"{new}\nto make it a new group, add --new-group") from new
            if not typer.confirm(f"{new} Make a new group?"):
                raise Mistake("nothing was changed") from new
            named.add(new.group)


@people_app.command("join")
def people_join(
    person: Id, group: Annotated[str, typer.Argument(metavar="GROUP")], new_group: NewGroupMeant = False
) -> None:
    """Make a person a member of a group."""
    from store.people import people

    id = _id(person)
    _put_into([group], new_group, lambda connection: people.join(connection, id, group, by=_operator()))
    show.say(f"{id} is in {group}")


@people_app.command("leave")
def people_leave(person: Id, group: Annotated[str, typer.Argument(metavar="GROUP")]) -> None:
    """End a membership. Gates that too few can decide then say so at once."""
    from store.people import people

    id = _id(person)
    _of_people(lambda connection: people.leave(connection, id, group, by=_operator()))
    show.say(f"{id} is no longer in {group}")


@people_app.command("manager")
def people_manager(
    person: Id,
    manager: Annotated[
        str, typer.Argument(metavar="MANAGER", help="Id, name or e-mail address; empty ('') for nobody.")
    ],
) -> None:
    """Say whom a person reports to: manager_of(requester) in a policy."""
    from store.people import people

    id, above = _id(person), _id(manager) if manager.strip() else None
    _of_people(lambda connection: people.set_manager(connection, id, above, by=_operator()))
    show.say(f"the manager of {id} is {above}" if above else f"{id} has no manager")


@people_app.command("zone")
def people_zone(person: Id, time_zone: Annotated[str, typer.Argument(metavar="ZONE")]) -> None:
    """Say where a person's days begin, such as Europe/London."""
    from store.people import people

    id = _id(person)
    _of_people(lambda connection: people.set_time_zone(connection, id, time_zone or None, by=_operator()))
    show.say(f"the days of {id} are those of {time_zone or 'UTC'}")


@people_app.command("away")
def people_away(
    person: Id,
    starts: Annotated[str, typer.Option("--from", metavar="DAY", help="Such as 2026-12-21; or a moment.")],
    ends: Annotated[str, typer.Option("--to", metavar="DAY", help="The last day; or a moment.")],
    substitute: Annotated[
        str | None, typer.Option(metavar="WHO", help="Who decides in their place: id, name or e-mail address.")
    ] = None,
) -> None:
    """Say that a person is away, from the first day to the last, both included."""
    from store.people import absences, people

    id, instead_of = _id(person), _id(substitute) if substitute else None

    async def change(connection: "AsyncConnection") -> absences.Absence:
        zone = people.zone_of((await people.get(connection, id)).time_zone)
        return await absences.go(connection, id, zone, (starts, ends), instead_of, by=_operator())

    made = _of_people(change)
    instead = f"; {instead_of} stands in" if instead_of else "; nobody stands in"
    show.say(f"{id} is away from {moment_text(made.starts_at)} to {moment_text(made.ends_at)}{instead}")


@people_app.command("back")
def people_back(person: Id) -> None:
    """Say that a person is back. Absences to come are dropped too."""
    from store.people import absences

    id = _id(person)

    async def change(connection: "AsyncConnection") -> bool:
        return await absences.set_back(connection, id, datetime.now(UTC), by=_operator())

    show.say(f"{id} is back" if _of_people(change) else f"{id} was not away")


@people_app.command("replace")
def people_replace(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Who has left, by id.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Who comes after: id, name or e-mail address.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.")],
    person: AsPerson = None,
) -> None:
    """Put somebody in a leaver's place: groups, reports, substitutions and open tasks. OLD can no longer sign in."""
    from ops.remote import part

    done = _gateway(person, ADMIN).post(f"people/{part(old)}/replace", {"by": new, "reason": reason})
    refused = [item for item in done["items"] if item["status"] == "refused"]
    show.say(f"{new} comes after {old}; {len(done['items']) - len(refused)} open tasks were handed on")
    for item in refused:
        show.say(f"{item['task_id']}: {item['problem']['detail']}")
    raise typer.Exit(1 if refused else 0)


@people_app.command("deactivate")
def people_deactivate(
    person: Id, reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.")]
) -> None:
    """Say that a person has left and nobody comes after. They can no longer sign in."""
    from store.people import leavers

    id = _id(person)
    _of_people(lambda connection: leavers.deactivate(connection, id, reason, by=_operator()))
    show.say(f"{id} has left; tasks that nobody else can decide escalate or ask operators")


@people_app.command("reactivate")
def people_reactivate(
    person: Id,
    group: Annotated[list[str] | None, typer.Option(metavar="GROUP", help="May be given more than once.")] = None,
    new_group: NewGroupMeant = False,
) -> None:
    """Bring back a person who has left, under the same id. They need a new password or token."""
    from store.people import leavers

    id, wanted = _id(person), group or []
    groups = _put_into(wanted, new_group, lambda connection: leavers.reactivate(connection, id, wanted, by=_operator()))
    show.say(f"{id} is back with {', '.join(groups) or 'no groups'}")


@people_app.command("email")
def people_email(
    person: Id,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Empty ('') to send them none.")],
) -> None:
    """Say where a person gets mail. The record says that it changed, and not to what."""
    from store.people import people

    id = _id(person)
    _of_people(lambda connection: people.set_email(connection, id, address, by=_operator()))
    show.say(f"{id} gets mail at {address}" if address else f"{id} gets no mail")


@people_app.command("token")
def people_token(
    person: Id,
    label: Annotated[str, typer.Option(help="Where it is used, for the record.")] = "command line",
    as_json: AsJson = False,
) -> None:
    """Make a token, in an emergency or for the first admin. It is shown this once, and the person is told."""
    from store.people import people

    id = _id(person)
    token = _of_people(lambda connection: people.new_token(connection, id, label, by=_operator()))
    _answer({"person": id, "token": token}, as_json, lambda _: show.say(token))


@people_app.command("revoke")
def people_revoke(person: Id) -> None:
    """Make all tokens of a person worthless."""
    from store.people import people

    id = _id(person)
    number = _of_people(lambda connection: people.revoke_tokens(connection, id, by=_operator()))
    show.say(f"tokens of {id} made worthless: {number}")


@people_app.command("password")
def people_password(person: Id, as_json: AsJson = False) -> None:
    """Make a password, in an emergency or for the first admin. Shown once, to be changed; the person is told."""
    from store.people import passwords, sessions

    id = _id(person)

    async def make(database: "Database") -> str:
        password = passwords.temporary()
        async with database.write() as connection:
            hashed = passwords.hash_of(password)
            await sessions.start_anew(connection, id, hashed, datetime.now(UTC), by=_operator())
        return password

    password = _in_database(make)
    _answer({"person": id, "password": password}, as_json, lambda _: show.say(password))


@people_app.command("unlock")
def people_unlock(person: Id) -> None:
    """Let somebody try to sign in again at once, who has mistyped too often."""
    from store.people import passwords

    id = _id(person)
    _of_people(lambda connection: passwords.unlock(connection, id, by=_operator()))
    show.say(f"{id} may try to sign in again")


@app.command()
def notices(as_json: AsJson = False) -> None:
    """What people are still to be told: gathering, held for an import, being sent, tried again, or refused."""
    from store.notifications import outbox

    async def look(database: "Database") -> tuple[list[outbox.Line], outbox.Lag]:
        async with database.read() as connection:
            return await outbox.unsent(connection), await outbox.lag(connection)

    lines, lag = _in_database(look)
    columns = ("State", "Channel", "Person", "Notices", "At", "Tries", "Why")
    rows = [
        (
            line.state,
            line.channel,
            line.person,
            f"{line.notices:,}",
            show.when(line.at.isoformat()),
            str(line.attempts),
            line.problem or "",
        )
        for line in lines
    ]

    def print_it(_: Any) -> None:
        show.table_of(columns, rows)
        if lag.unread:
            show.say(f"{lag.unread:,} events of the record are still to be read; a worker does that")

    _answer({"items": [line.model_dump() for line in lines], "lag": lag.model_dump()}, as_json, print_it)


@audit_app.command("verify")
def audit_verify(
    case: Annotated[str | None, typer.Option(metavar="CASE", help="Only this case.")] = None, as_json: AsJson = False
) -> None:
    """Check that no event, no other row and no kept file was edited, removed, inserted or moved.

    Exit code 1 when one was.
    """
    from store.audit.verification import Folders, Verification, verify, verify_case

    settings = configuration.load()
    folders = Folders(settings.attachments, settings.uploads)

    async def check(database: "Database") -> Verification:
        if case is None:
            return await verify(database, folders=folders)
        async with database.read() as connection:
            return await verify_case(connection, case, folders)

    found = _in_database(check)

    def print_it(_: Any) -> None:
        for line in found.lines():
            show.say(line)
        erased = f", {found.erased} of them with erased payload" if found.erased else ""
        result = f"{len(found.problems)} problems" if found.problems else "the record is intact"
        show.say(f"{result}: {found.events} events of {found.cases} cases{erased}")

    _answer(found.model_dump(), as_json, print_it)
    raise typer.Exit(1 if found.problems else 0)


@audit_app.command("pack")
def audit_pack(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The zip to write; what is there is replaced.")],
    case: Annotated[str | None, typer.Option(metavar="CASE", help="The evidence of this case.")] = None,
    starts: Annotated[str | None, typer.Option("--from", metavar="DAY", help="Or of a period: its first day.")] = None,
    ends: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Its last day.")] = None,
    person: AsPerson = None,
) -> None:
    """Write the evidence of a case or a period: events, cases, a report, the check of the record, policies."""
    if (case is None) == (starts is None and ends is None):
        raise typer.BadParameter("say --case, or --from and --to")
    query = {"case_id": case, "from": starts, "to": ends}
    _download(_gateway(person, ADMIN), "audit/pack", out, "application/zip", **query)
    show.say(f"the evidence is in {out}")


# ------------------------------------------------------------------------------------------------------------ mappings


@mapping_app.command("suggest")
def mapping_suggest(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or .xlsx.")],
    process: Annotated[str, typer.Option(help="The kind of cases in it.")] = "payment",
    encoding: Encoding = None,
    sheet: SheetName = None,
) -> None:
    """Print a mapping that fits a file, ready for mappings.toml. Exit code 1 when the file cannot be read."""
    from intake.column_mapping import WrongMapping, parse_mapping
    from intake.open_table import UnreadableFile
    from intake.read_file import read_file
    from intake.saved_mappings import as_toml
    from ops.remote import Unusable

    saved, targets = _saved_mappings()
    if process not in targets:
        raise Mistake(f"there is no process '{process}'; there are: {', '.join(targets)}")
    try:
        opening = {key: value for key, value in (("encoding", encoding), ("sheet", sheet)) if value}
        given = parse_mapping(opening, []) if opening else None
        found = read_file(file.read_bytes(), targets[process], given, usual=lambda: saved.usual(process))
    except OSError as wrong:
        raise Unusable(f"{file} cannot be read: {wrong.strerror}") from wrong
    except (UnreadableFile, WrongMapping) as wrong:
        raise Mistake(f"{file}: {wrong}") from wrong
    for line in (f"{file.name}: {found.format}", *found.notes):
        show.say(f"# {line}")
    if found.mapping is None:
        show.say("# Its headings are the fields: it needs no mapping.")
    else:
        name = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-") or "mine"
        show.say(as_toml(name, process, found.mapping))


@mapping_app.command("list")
def mapping_list(as_json: AsJson = False) -> None:
    """List the saved mappings."""
    from intake.column_mapping import WrongMapping

    saved, _ = _saved_mappings()
    try:
        found = dict(saved.all)
    except WrongMapping as wrong:
        raise Mistake(_mistakes(wrong)) from wrong

    def print_it(_: Any) -> None:
        for name, each in found.items():
            columns = ", ".join(f"{key} = {' | '.join(said)}" for key, said in each.mapping.columns.items())
            show.say(f"{name} ({each.process}): {columns}")
        if not found:
            show.say(f"{saved.path} holds no mappings")

    answer = {name: {"process": each.process, **each.mapping.model_dump(mode="json")} for name, each in found.items()}
    _answer(answer, as_json, print_it)


@mapping_app.command("check")
def mapping_check(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Without it: HOLDGATE_MAPPINGS.")] = None,
) -> None:
    """Check a file of mappings. Each mistake names file, line and key; exit code 1 when there is one."""
    from intake.column_mapping import WrongMapping
    from ops.remote import Unusable

    saved, _ = _saved_mappings(file)
    if saved.path is None or not saved.path.is_file():
        raise Unusable(f"{saved.path} is not there")
    try:
        show.say(f"{saved.path} is valid; it holds {len(saved.all)} mappings")
    except WrongMapping as wrong:
        raise Mistake(_mistakes(wrong)) from wrong


def _saved_mappings(path: Path | None = None) -> "tuple[SavedMappings, dict[str, Target]]":
    """The file of saved mappings, and the processes that they may be for."""
    from cases.submit import target_of
    from intake.saved_mappings import SavedMappings
    from workflows.registry import PROCESSES

    settings = _with_own_processes()
    targets = {name: target_of(process) for name, process in PROCESSES.items()}
    return SavedMappings(path or settings.mappings, targets), targets


def _mistakes(wrong: "WrongMapping") -> str:
    return "\n".join(f"{each.message} ({each.column})" if each.column else each.message for each in wrong.problems)


def _mapping_of(said: str | None) -> str | None:
    """The name of a saved mapping, or the JSON of the one that a file holds. Raises Mistake."""
    from domain import strict_json

    if said is None or not Path(said).is_file():
        return said
    try:
        text = Path(said).read_text(encoding="utf-8")
        found = strict_json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (OSError, ValueError) as wrong:
        raise Mistake(f"{said} holds no mapping: {wrong}") from wrong
    tables = found.get("mappings")
    if isinstance(tables, dict):
        if len(tables) != 1:
            raise Mistake(f"{said} holds {len(tables)} mappings: give a file with one, or save it and give its name")
        found = next(iter(tables.values()))
    return json.dumps({key: value for key, value in found.items() if key != "process"})


# -------------------------------------------------------------------------------------------------------------- policy


@policy_app.command("check")
def policy_check(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Without it: the policy in force.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a policy. Each problem names file, line and key; exit code 1 when there is one."""
    from own import policy_file
    from policy.model import PolicyError
    from policy.parse import notes, warnings
    from workflows.registry import INPUTS

    settings = _with_own_processes()
    path = file or settings.policy
    found: dict[str, Any] = {"file": str(path), "hash": None, "problems": [], "warnings": []}
    try:
        policy = policy_file(path).current
        people = _people_known()
        found |= {
            "hash": policy.hash,
            "warnings": warnings(policy, INPUTS, people.members if people else None) + notes(policy),
        }
    except PolicyError as wrong:
        found["problems"] = [str(problem) for problem in wrong.problems]

    def print_it(_: Any) -> None:
        for problem in found["problems"]:
            show.say(problem)
        for warning in found["warnings"]:
            show.say(f"{warning} (warning)")
        if not found["problems"]:
            show.say(f"{path} is valid; its hash is {found['hash']}")

    _answer(found, as_json, print_it)
    raise typer.Exit(1 if found["problems"] else 0)


@policy_app.command("apply")
def policy_apply(
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.")],
    open: Annotated[bool, typer.Option("--open", help="The gates that are open now; others never change.")] = False,
    process: Annotated[str | None, typer.Option(metavar="PROCESS", help="Only cases of this kind.")] = None,
    gate: Annotated[str | None, typer.Option(metavar="GATE", help="Only gates of this name.")] = None,
    times: Annotated[
        bool, typer.Option("--times", help="Also replace due times and ends that an admin has set by hand.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    person: AsPerson = None,
) -> None:
    """Let open gates follow the policy in force. Shows what would change, and asks first."""
    if not open:
        raise typer.BadParameter("say --open: only gates that are open can follow another policy")
    gateway = _gateway(person, ADMIN)
    wanted = {"process": process, "gate": gate, "reason": reason, "times": times}
    found = gateway.post_all("policies/apply", {**wanted, "dry_run": True})
    show.shifts(found)
    if not found["items"] or not (yes or typer.confirm("Change these?")):
        return
    changed = gateway.post_all("policies/apply", wanted)
    refused = [item for item in changed["items"] if item["status"] == "refused"]
    show.say(f"{len(changed['items']) - len(refused)} gates follow policy {changed['policy_hash'][:12]} now")
    for item in refused:
        show.say(f"{item['task_id']} of {item['case_id']}: {item['problem']['detail']}")
    raise typer.Exit(1 if refused else 0)


@policy_app.command("explain")
def policy_explain(
    process: Annotated[str, typer.Argument(metavar="PROCESS", help="The kind of case, such as payment.")],
    input: Annotated[Path, typer.Option(metavar="FILE", help="The input of a case, as JSON.")],
    facts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What the steps found out, as JSON. Without it: not known.")
    ] = None,
    requester: Annotated[str | None, typer.Option(metavar="ID", help="Who asks. Without it: not known.")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="When the gates open, such as 2026-11-24T09:00:00Z; else now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say in sentences what the policy in force would do with a case: who is asked, by when, what happens then."""
    from ops import policies
    from policy.explain import explain
    from policy.preview import Supposed
    from workflows.registry import GATES

    policy, opens = policies.in_force(_with_own_processes()), policies.moment(at)
    case_input = policies.case_input(input, policies.known_to(policy, process))
    supposed = Supposed(case_input, policies.json_object(facts) if facts else None, requester)
    found = explain(policy, process, GATES[process], supposed, opens, _people_known())
    gates = [{"gate": each.gate, "answer": each.answer, "sentences": each.sentences} for each in found]

    def print_it(_: Any) -> None:
        show.say(f"{process} by {policy.source}, as if each gate opened on {weekday_and_time(opens)}")
        for each in found:
            show.say(f"\n{each.gate}: {each.answer}")
            for sentence in each.sentences:
                show.say(f"  {sentence}")

    answer = {"process": process, "policy_hash": policy.hash, "at": opens.isoformat(), "gates": gates}
    _answer(answer, as_json, print_it)


@policy_app.command("test")
def policy_test(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Without it: policy.tests.toml beside the policy in force.")
    ] = None,
) -> None:
    """Try the policy in force on the cases of a table. Exit code 1 when a row expects something else."""
    from ops import policies
    from policy.table_tests import failure

    policy = policies.in_force(_with_own_processes())
    tests = policies.tests(file, policy)
    failures = [said for test in tests if (said := failure(test, policy))]
    for said in failures:
        show.say(said)
    show.say(f"{len(failures)} of {len(tests)} rows fail" if failures else f"all {len(tests)} rows hold")
    raise typer.Exit(1 if failures else 0)


# ------------------------------------------------------------------------------------------------ processes of your own


@process_app.command("new")
def process_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="In small letters, such as expense_claim.")],
    into: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The folder of your processes; else HOLDGATE_PROCESSES.")
    ] = None,
) -> None:
    """Write a process that works, with its policy, a sample and tests, to be changed into what you need."""
    from kit.new import make

    configured = configuration.load().processes
    folder = into.expanduser().resolve() if into else configured
    if folder is None:
        raise Mistake("say where your processes are to be: set HOLDGATE_PROCESSES to a folder, or use --into FOLDER")
    made = _of_processes(lambda: make(name, folder))
    show.say(f"{made} is a process that works: {', '.join(sorted(file.name for file in made.iterdir()))}")
    if folder != configured:
        show.say(f"first set HOLDGATE_PROCESSES={folder}, in the environment or in .env; then:")
    show.say(f"  ./holdgate process test {name}    runs its tests")
    show.say(f"  ./holdgate process check {name}   says what it lacks")
    show.say(f"  make up, ./holdgate submit {made / 'sample.csv'} --process {name}   runs it")


@process_app.command("check")
def process_check(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Without it: all of HOLDGATE_PROCESSES.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what processes lack: words, a policy for each gate, a sample that imports, tests of their undos."""
    from kit.check import check

    settings = configuration.load()
    found = _of_processes(lambda: check(settings, name))

    def print_it(_: Any) -> None:
        for process, lacks in found.items():
            for lack in lacks:
                show.say(f"{process}: {lack}")
            if not lacks:
                show.say(f"{process} lacks nothing")
        if not found:
            show.say("there is no process in HOLDGATE_PROCESSES; './holdgate process new NAME' makes one")

    _answer(found, as_json, print_it)
    raise typer.Exit(1 if any(found.values()) else 0)


@process_app.command("test")
def process_test(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A process in HOLDGATE_PROCESSES.")],
) -> None:
    """Run the tests of a process. Exit code 1 when one fails."""
    folder = configuration.load().processes
    if folder is None or not (folder / name / "__init__.py").exists():
        raise Mistake(f"there is no process '{name}' in {folder or 'HOLDGATE_PROCESSES, which is not set'}")
    if importlib.util.find_spec("pytest") is None:
        raise Mistake(f"the tests need more than what is installed: 'make test ARGS={folder / name}' installs it, too")
    arguments = [sys.executable, "-m", "pytest", "-q", "-c", "pyproject.toml", str(folder / name)]
    raise typer.Exit(min(1, subprocess.run(arguments, cwd=configuration.ROOT).returncode))


# ------------------------------------------------------------------------------------------------------------- helpers


def _of_processes(work: Callable[[], ResultT]) -> ResultT:
    """Do something with processes of somebody's own. Raises Mistake."""
    from own import WrongProcess

    try:
        return work()
    except WrongProcess as wrong:
        raise Mistake(str(wrong)) from wrong


def _with_own_processes() -> configuration.Settings:
    """The settings, with the processes of HOLDGATE_PROCESSES loaded. Raises Unusable."""
    import own
    from ops.remote import Unusable

    settings = configuration.load()
    try:
        own.load(settings.processes)
    except own.WrongProcess as wrong:
        raise Unusable(str(wrong)) from wrong
    return settings


def _people_known() -> "People | None":
    """Who there is; None where there is no database to look into."""
    from policy.explain import People
    from store.db.database import DatabaseUnavailable
    from store.people import people

    async def everybody(database: "Database") -> list[people.Person]:
        async with database.read() as connection:
            return await people.all(connection)

    try:
        found = _in_database(everybody)
    except DatabaseUnavailable:
        return None
    return People.of((person.id, person.name, person.groups) for person in found)


def _interrupted(said: str) -> NoReturn:
    """Say on stderr what goes on after Ctrl-C, and end."""
    sys.stderr.write(f"\n{said}\n")
    raise typer.Exit(INTERRUPTED)


def _follow(remote: "Remote", batch_id: str, wait: bool, quiet: bool) -> dict[str, Any]:
    """Watch a batch and return its report. Ctrl-C, or a gateway that stays away, ends the watching only."""
    from ops.following import follow
    from ops.remote import Away

    again = f"batch {batch_id} goes on; './holdgate batch {batch_id} --follow' watches it again"
    try:
        return follow(remote, batch_id, wait=wait, quiet=quiet)
    except KeyboardInterrupt:
        _interrupted(again)
    except Away as gone:
        raise Away(f"{gone}\n{again}") from gone


def _answer_batch(remote: "Remote", report: dict[str, Any], bad_rows: Path | None, as_json: bool) -> None:
    """Print what became of a file, write its bad rows, and end with the exit code that says whether there are any."""
    from ops.remote import part

    _answer(report, as_json, show.batch)
    bad = report["rows"]["invalid"] + report["rows"]["failed"]
    if bad_rows:
        _download(remote, f"batches/{part(report['batch_id'])}/rows", bad_rows)
        sys.stderr.write(f"{bad:,} bad rows are in {bad_rows}\n")
    raise typer.Exit(1 if bad or report["status"] in ("cancelled", "failed") else 0)


def _steer(batch_id: str, what: str, body: dict[str, Any], person: str | None, as_json: bool) -> None:
    from ops.remote import part

    answer = _gateway(person, ADMIN).post(f"batches/{part(batch_id)}/{what}", body)
    _answer(
        answer, as_json, lambda _: show.say(f"{what} is asked for; './holdgate batch {batch_id}' shows what came of it")
    )


def _download(remote: "Remote", path: str, file: Path, media_type: str = "text/csv", /, **query: str | None) -> None:
    """Write an answer to a file, which appears whole or not at all. Raises Mistake when it cannot be written."""
    part_of = file.with_name(f".{file.name}.part")
    try:
        try:
            with part_of.open("wb") as into:
                remote.download(path, into, media_type, **query)
            part_of.replace(file)
        finally:
            part_of.unlink(missing_ok=True)
    except OSError as wrong:
        raise Mistake(f"{file} cannot be written: {wrong.strerror}") from wrong


def _edit(said: str) -> tuple[str, str]:
    """A field and its new value. Raises Mistake."""
    field, equals, value = said.partition("=")
    if not (field and equals):
        raise Mistake(f"--edit {said}: say FIELD=VALUE, for example --edit amount=120.00")
    return field, value


def _answer_group(group: str, verdict: str, comment: str, person: str | None) -> None:
    """Answer the incidents of a group until it has none that were there at the beginning. Exit code 1: some refused."""
    remote = _gateway(person, ADMIN)
    seen: set[str] = set()
    refused: list[dict[str, Any]] = []
    while True:
        queue = remote.get("incidents", limit=200)["items"]
        found = next((each for each in queue if each["group"] == group), None)
        wanted = [task for task in found["task_ids"] if task not in seen] if found else []
        if not wanted:
            break
        seen |= set(wanted)
        sent = {"verdict": verdict, "comment": comment, "task_ids": wanted}  # a group has one cause, which was shown
        refused += [each for each in remote.post("incidents/decisions", sent)["items"] if each["problem"]]
    if not seen:
        raise Mistake(f"there is no group '{group}' of incidents; './holdgate incidents list' shows those there are")
    show.say(f"{len(seen) - len(refused)} of {len(seen)} answered")
    for each in refused:
        show.say(f"{each['task_id']}: {each['problem']['detail']}")
    raise typer.Exit(1 if refused else 0)


def _seen(task: dict[str, Any], verdict: str) -> int:
    """The revision of a task that the person was shown and decides. Raises Mistake where nobody can be asked."""
    revision = int(task["revision"])
    if task["status"] != "open":
        return revision  # the gateway says what became of it
    show.tasks([task])
    shown.remember(configuration.load().var, [task])
    if not sys.stdin.isatty():
        raise Mistake("nothing is decided yet: you had not seen the task. Send the same again, and it is decided")
    typer.confirm(f"{verdict.replace('_', ' ')}?", abort=True, err=True)
    return revision


def _only_open_task(found: dict[str, Any]) -> str:
    open_tasks = [task for task in found["tasks"] if task["status"] == "open"]
    if len(open_tasks) == 1:
        return str(open_tasks[0]["task_id"])
    if not open_tasks:
        raise Mistake(f"{found['case_id']} has no open task; it is {found['status']}")
    listed = "\n".join(f"  {task['task_id']}  {task['gate']}" for task in open_tasks)
    raise Mistake(f"{found['case_id']} has {len(open_tasks)} open tasks, name one:\n{listed}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code. What goes wrong is told in words, not as a stack trace."""
    from store.db.private_files import keep_private

    keep_private()
    try:
        app(args=None if arguments is None else list(arguments), prog_name="holdgate")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0 if done.code is None else 1
    except Exception as wrong:
        if sys.flags.dev_mode:  # python -X dev holdgate.py: for those who mend it
            raise
        text, code = _told(wrong)
        sys.stderr.write(show.clean(text) + "\n")
        return code
    return 0


def _told(wrong: Exception) -> tuple[str, int]:
    """An error in words, and its exit code."""
    from core.temporal import TemporalUnreachable
    from ops.remote import Denied, Unusable
    from store.db.database import DatabaseUnavailable

    match wrong:
        case Denied() | Mistake():
            return str(wrong), 1
        case Unusable() | configuration.WrongSettings() | TemporalUnreachable():
            return str(wrong), 2
        case DatabaseUnavailable():
            return f"the database cannot be used: {wrong}", 2
        case _:
            return (
                f"holdgate has a defect: {type(wrong).__name__}: {wrong} ('python -X dev holdgate.py' shows where)",
                2,
            )


if __name__ == "__main__":
    sys.exit(main())
