"""The commands `./holdgate policy ...`: check, explain, test and apply the policy."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.common import ADMIN, gateway_as, in_database, print_answer, settings_with_plugins
from cli.options import AsJson, AsPerson
from domain.moments import weekday_and_time

if TYPE_CHECKING:  # imported by the commands that need it
    from policy.explain import People
    from store.db.database import Database

app = typer.Typer(help="The policy: who decides what, and when.", no_args_is_help=True)


@app.command("check")
def policy_check(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A policy file. Default: the file HOLDGATE_POLICY.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a policy. Each problem names file, line and key. Exit code 1: problems were found."""
    from plugins.loader import policy_file
    from policy.model import PolicyError
    from policy.parse import notes, warnings
    from workflows.registry import INPUTS

    settings = settings_with_plugins()
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
            output.say(problem)
        for warning in found["warnings"]:
            output.say(f"{warning} (warning)")
        if not found["problems"]:
            output.say(f"{path} is valid; its hash is {found['hash']}")

    print_answer(found, as_json, print_it)
    raise typer.Exit(1 if found["problems"] else 0)


@app.command("apply")
def apply(
    reason: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the audit log.")],
    open: Annotated[
        bool, typer.Option("--open", help="Apply to the gates that are open now. Closed gates never change.")
    ] = False,
    process: Annotated[str | None, typer.Option(metavar="PROCESS", help="Only cases of this process.")] = None,
    gate: Annotated[str | None, typer.Option(metavar="GATE", help="Only gates with this name.")] = None,
    times: Annotated[
        bool, typer.Option("--times", help="Also replace due and expiry times that an admin has set.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation; for scripts.")] = False,
    person: AsPerson = None,
) -> None:
    """Apply the policy in force to open gates. The command first shows the changes and asks for confirmation."""
    if not open:
        raise typer.BadParameter("add --open: only open gates can change to another policy")
    gateway = gateway_as(person, ADMIN)
    wanted = {"process": process, "gate": gate, "reason": reason, "times": times}
    found = gateway.post_all("policies/apply", {**wanted, "dry_run": True})
    output.shifts(found)
    if not found["items"] or not (yes or typer.confirm("Change these?")):
        return
    changed = gateway.post_all("policies/apply", wanted)
    refused = [item for item in changed["items"] if item["status"] == "refused"]
    output.say(f"{len(changed['items']) - len(refused)} open gates now use policy {changed['policy_hash'][:12]}")
    for item in refused:
        output.say(f"{item['task_id']} of {item['case_id']}: {item['problem']['detail']}")
    raise typer.Exit(1 if refused else 0)


@app.command("explain")
def policy_explain(
    process: Annotated[str, typer.Argument(metavar="PROCESS", help="The process, such as payment.")],
    input: Annotated[Path, typer.Option(metavar="FILE", help="The input of a case, as JSON.")],
    facts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The checks before the decision (facts), as JSON. Default: not known."),
    ] = None,
    requester: Annotated[str | None, typer.Option(metavar="ID", help="The requester. Default: not known.")] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="MOMENT", help="The time at which the gates open, such as 2026-11-24T09:00:00Z. Default: now."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain in sentences what the policy in force does with a case: who decides, until when, what happens then."""
    from cli import policy_files
    from policy.explain import explain
    from policy.preview import FutureCase
    from workflows.registry import GATES

    policy, opens = policy_files.in_force(settings_with_plugins()), policy_files.moment(at)
    case_input = policy_files.case_input(input, policy_files.known_to(policy, process))
    supposed = FutureCase(case_input, policy_files.json_object(facts) if facts else None, requester)
    found = explain(policy, process, GATES[process], supposed, opens, _people_known())
    gates = [{"gate": each.gate, "answer": each.answer, "sentences": each.sentences} for each in found]

    def print_it(_: Any) -> None:
        output.say(f"{process} by {policy.source}, as if each gate opened on {weekday_and_time(opens)}")
        for each in found:
            output.say(f"\n{each.gate}: {each.answer}")
            for sentence in each.sentences:
                output.say(f"  {sentence}")

    answer = {"process": process, "policy_hash": policy.hash, "at": opens.isoformat(), "gates": gates}
    print_answer(answer, as_json, print_it)


@app.command("test")
def policy_test(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A table of tests. Default: policy.tests.toml beside the policy in force."),
    ] = None,
) -> None:
    """Test the policy in force with the cases of a table.

    Exit code 1: the policy gives another result than a row expects.
    """
    from cli import policy_files
    from policy.table_tests import failure

    policy = policy_files.in_force(settings_with_plugins())
    tests = policy_files.tests(file, policy)
    failures = [said for test in tests if (said := failure(test, policy))]
    for said in failures:
        output.say(said)
    output.say(f"{len(failures)} of {len(tests)} rows fail" if failures else f"all {len(tests)} rows hold")
    raise typer.Exit(1 if failures else 0)


def _people_known() -> "People | None":
    """Return all people and their groups; None if the database cannot be used."""
    from policy.explain import People
    from store.db.database import DatabaseUnavailable
    from store.people import people

    async def everybody(database: "Database") -> list[people.Person]:
        async with database.read() as connection:
            return await people.all(connection)

    try:
        found = in_database(everybody)
    except DatabaseUnavailable:
        return None
    return People.of((person.id, person.name, person.groups) for person in found)
