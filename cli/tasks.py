"""The commands about tasks: `tasks`, `tasks reveal`, `task` and `decide`."""

import os
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output, shown_tasks
from cli.common import ADMIN, CommandError, gateway_as, print_answer
from cli.options import AsDecider, AsJson, AsPerson, Comment, Limit
from core.settings import load as load_settings

if TYPE_CHECKING:
    from cli.client import Remote

app = typer.Typer()
tasks_app = typer.Typer(invoke_without_command=True)
"""The command `tasks`, which lists tasks, and its subcommand `tasks reveal`."""


@tasks_app.callback()
def tasks(
    context: typer.Context,
    mine: Annotated[
        bool | None,
        typer.Option(
            "--mine/--all", help="Tasks that the person can decide now (default), or all open tasks that they can see."
        ),
    ] = None,
    process: Annotated[str | None, typer.Option(help="Only cases of this process.")] = None,
    gate: Annotated[str | None, typer.Option(help="Only this gate, such as manager-approval.")] = None,
    q: Annotated[str | None, typer.Option("--q", help="A part of the reference, title or id.")] = None,
    limit: Limit = 50,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """List open tasks, the earliest due first. Without --as and HOLDGATE_TOKEN, list all that admin-1 can see."""
    from cli.client import TOKEN

    if context.invoked_subcommand is not None:
        return
    if mine is None:
        mine = bool(person or os.environ.get(TOKEN))
    found = gateway_as(person, ADMIN).get(
        "tasks", mine=mine, status="open", process=process, gate=gate, q=q, sort="due_at", limit=limit
    )
    print_answer(found, as_json, lambda page: output.tasks(page["items"], page["next_cursor"]))
    shown_tasks.remember(load_settings().var, found["items"])


@tasks_app.command()
def reveal(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The id of a task, or of a case that has one open task.")],
    field: Annotated[str, typer.Argument(metavar="FIELD", help="A masked field of the input, such as payee_account.")],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why you need the value, in 3 to 500 characters, for the audit log.")
    ],
    person: AsDecider = None,
    as_json: AsJson = False,
) -> None:
    """Show the whole value of a masked field. The audit log keeps who saw which field, when and why."""
    from cli.client import part

    remote = gateway_as(person, None)
    task_id = _only_open_task(remote.get(f"cases/{part(task)}")) if ":" in task else task
    found = remote.post(f"tasks/{part(task_id)}/reveal", {"field": field, "reason": reason})
    print_answer(found, as_json, output.revealed)


@app.command()
def task(
    task_id: Annotated[
        str, typer.Argument(metavar="TASK", help="The id of a task, or of a case that has one open task.")
    ],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Show one task: its question, and what an approval and a rejection would do."""
    from cli.client import part

    gateway = gateway_as(person, ADMIN)
    id = _only_open_task(gateway.get(f"cases/{part(task_id)}")) if ":" in task_id else task_id
    print_answer(gateway.get(f"tasks/{part(id)}"), as_json, output.task)


@app.command()
def decide(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The id of a task, or of a case that has one open task.")],
    verdict: Annotated[
        str,
        typer.Argument(
            metavar="VERDICT",
            help="approve, reject, request_changes or abstain; for requested changes: resubmit; for an incident: "
            "retry, skip, done_by_hand or roll_back.",
        ),
    ],
    comment: Comment = "",
    edit: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Change a field of the input. You can repeat this option."),
    ] = None,
    revision: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="The revision that you saw. Default: the one that 'tasks' or 'case' showed last. "
            "A task that you did not see yet is shown, and you are asked to confirm.",
        ),
    ] = None,
    person: AsDecider = None,
    as_json: AsJson = False,
) -> None:
    """Decide a task. If the task has changed since you saw it, the decision is refused."""
    from cli.client import part

    remote = gateway_as(person, None)
    # Only a case id has a colon: it is reserved.
    task_id = _only_open_task(remote.get(f"cases/{part(task)}")) if ":" in task else task
    edits = dict(_edit(each) for each in edit or [])
    if revision is None:
        revision = shown_tasks.revision_of(load_settings().var, task_id)
    if revision is None:
        revision = _seen(remote.get(f"tasks/{part(task_id)}"), verdict)
    sent = {"verdict": verdict, "comment": comment, "edits": edits or None, "revision": revision}
    print_answer(_decided(remote, f"tasks/{part(task_id)}/decision", sent), as_json, output.decision)


def _decided(remote: "Remote", path: str, sent: dict[str, Any]) -> Any:
    """Send a decision and return the answer. If the policy asks for the password, ask for it and send again.

    Raises CommandError if the decision must be confirmed with a passkey, or if there is no terminal to ask.
    """
    from cli.client import Denied

    try:
        return remote.post(path, sent)
    except Denied as no:
        if no.problem.get("code") != "ConfirmNeeded":
            raise
        if no.problem.get("method") == "passkey":
            address = no.problem["review_url"]
            raise CommandError(f"{no}\nA passkey needs a browser. Decide on the page of the task: {address}") from no
        if "field" not in no.problem:  # the person has no password
            raise
        if not sys.stdin.isatty():
            raise CommandError(f"{no}\nRun this command in a terminal, which asks for the password") from no
        password = typer.prompt("Your password, to confirm this decision", hide_input=True, err=True)
        return remote.post(path, {**sent, str(no.problem["field"]): password})


@app.command()
def receipt(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The id of a task.")],
    decision: Annotated[
        str | None, typer.Option(metavar="ID", help="The id of the decision, if the task has several.")
    ] = None,
    person: AsPerson = None,
) -> None:
    """Print the signed receipt of a decision. docs/reference/receipts.md says how anybody verifies it."""
    from cli.client import part
    from domain.proof.receipt import MEDIA_TYPE

    with BytesIO() as into:
        gateway_as(person, ADMIN).download(f"tasks/{part(task)}/receipt", into, MEDIA_TYPE, decision_id=decision)
        output.say(into.getvalue().decode())


def _edit(said: str) -> tuple[str, str]:
    """Split the text FIELD=VALUE into the field and its new value. Raises CommandError for another text."""
    field, equals, value = said.partition("=")
    if not (field and equals):
        raise CommandError(f"--edit {said}: write FIELD=VALUE, for example --edit amount=120.00")
    return field, value


def _seen(task: dict[str, Any], verdict: str) -> int:
    """Show a task that the user has not seen, ask for confirmation, and return the revision of the task.

    A task that is no longer open needs no confirmation. Raises CommandError if there is no terminal to confirm the
    decision.
    """
    revision = int(task["revision"])
    if task["status"] != "open":
        return revision  # the gateway says whether it accepts it
    output.tasks([task])
    shown_tasks.remember(load_settings().var, [task])
    if not sys.stdin.isatty():
        raise CommandError("nothing is decided: read the task, which you had not seen, then run this command again")
    typer.confirm(f"{verdict.replace('_', ' ')}?", abort=True, err=True)
    return revision


def _only_open_task(found: dict[str, Any]) -> str:
    open_tasks = [task for task in found["tasks"] if task["status"] == "open"]
    if len(open_tasks) == 1:
        return str(open_tasks[0]["task_id"])
    if not open_tasks:
        raise CommandError(f"{found['case_id']} has no open task; the case is {output.state(found['status'])}")
    listed = "\n".join(f"  {task['task_id']}  {task['gate']}" for task in open_tasks)
    raise CommandError(f"{found['case_id']} has {len(open_tasks)} open tasks; name one of them:\n{listed}")
