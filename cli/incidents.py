"""The commands `./holdgate incidents ...`: list and answer incidents, in groups with the same cause."""

from typing import Annotated, Any

import typer

from cli import output
from cli.common import ADMIN, CommandError, gateway_as, print_answer
from cli.options import AsJson, AsPerson, Comment, Group

app = typer.Typer(help="Failures, such as of a step, that need operators.", no_args_is_help=True)


@app.command("list")
def incidents_list(
    process: Annotated[str | None, typer.Option(help="Only cases of this process.")] = None,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """List incidents in groups with the same cause, the largest group first."""
    print_answer(
        gateway_as(person, ADMIN).get("incidents", process=process),
        as_json,
        lambda found: output.incidents(found["items"]),
    )


@app.command("retry")
def incidents_retry(group: Group, comment: Comment = "", person: AsPerson = None) -> None:
    """Retry what failed in each incident of a group, such as a step."""
    _answer_group(group, "retry", comment, person)


@app.command("roll-back")
def incidents_roll_back(group: Group, comment: Comment = "", person: AsPerson = None) -> None:
    """Roll back the case of each incident in a group."""
    _answer_group(group, "roll_back", comment, person)


def _answer_group(group: str, verdict: str, comment: str, person: str | None) -> None:
    """Send one decision for all present incidents of a group. Exit with code 1 if some decisions were refused."""
    remote = gateway_as(person, ADMIN)
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
        raise CommandError(f"there is no group '{group}' of incidents; './holdgate incidents list' shows all groups")
    output.say(f"{len(seen) - len(refused)} of {len(seen)} answered")
    for each in refused:
        output.say(f"{each['task_id']}: {each['problem']['detail']}")
    raise typer.Exit(1 if refused else 0)
