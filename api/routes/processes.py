"""Routes for processes: the schema of their input, their words for people and their gates."""

import csv
import io
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.deps import TheServices
from api.http.callers import Caller
from api.http.problems import documented, not_found
from policy.file import PolicyFile
from policy.model import describe
from policy.roles import roles_in
from store.people.people import Person
from workflows.registry import PROCESSES, Process

router = APIRouter(prefix="/processes", tags=["processes"])


class ProcessWords(BaseModel):
    """The words that pages use for a process."""

    title: str = Field(examples=["Pay {payee} {amount} {currency}"])
    key_fields: list[str]
    labels: dict[str, str]
    steps: dict[str, str]
    gates: dict[str, str]


class ProcessView(BaseModel):
    """One process, with its input, its words and the policy of its gates."""

    name: str = Field(examples=["payment"])
    summary: str
    input: dict[str, Any] = Field(description="JSON Schema of `input`")
    words: ProcessWords
    gates: list[dict[str, Any]] = Field(description="As in the policy for new cases; empty if it has none")
    policy_hash: str
    startable: bool = Field(description="False if the policy has no section for the process: its cases are refused")
    may_start: bool = Field(description="Whether the caller may start cases of the process")
    roles: dict[str, list[str]] | None = Field(
        description="The groups that start, view, operate and audit its cases; null unless the caller oversees it"
    )
    template_url: str


class Processes(BaseModel):
    """All processes."""

    items: list[ProcessView]
    next_cursor: None = None


@router.get("", responses=documented(401, 503))
async def list_processes(person: Caller, services: TheServices) -> Processes:
    """List the processes that the caller may start, oversee or decide, with their input, words and gates."""
    known = (process for name, process in PROCESSES.items() if name in person.scope.knows)
    return Processes(items=[_view(process, services.policy, person) for process in known])


@router.get("/{name}", responses=documented(401, 404, 422, 503))
async def one_process(name: str, person: Caller, services: TheServices) -> ProcessView:
    """Return one process with its input, its words and the policy of its gates."""
    return _view(_known(name, person), services.policy, person)


@router.get(
    "/{name}/template.csv",
    response_class=Response,
    responses={
        200: {"content": {"text/csv": {}}, "description": "A header line and one row"},
        **documented(401, 404, 422, 503),
    },
)
async def template(name: str, person: Caller) -> Response:
    """Download a sample CSV file of the process that can be imported: a header line and one row."""
    example = _known(name, person).example
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([example.keys(), example.values()])
    return Response(
        text.getvalue(), media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}.csv"'}
    )


def _known(name: str, person: Person) -> Process:
    """Return the process. Raises Problem 404 if there is none, or if the caller has nothing to do with it."""
    if name not in PROCESSES or name not in person.scope.knows:
        raise not_found("process")
    return PROCESSES[name]


def _view(process: Process, file: PolicyFile, person: Person) -> ProcessView:
    policy, words = file.current, process.words
    return ProcessView(
        name=process.name,
        summary=process.summary,
        input=process.input.model_json_schema(),
        words=ProcessWords(
            title=words.title,
            key_fields=list(words.key_fields),
            labels=dict(words.labels),
            steps={**words.steps, **words.undos},
            gates=dict(words.gates),
        ),
        gates=describe(policy, process.name),
        policy_hash=policy.hash,
        startable=policy.has(process.name),
        may_start=policy.has(process.name) and process.name in person.scope.starts,
        roles=roles_in(policy, process.name) if process.name in person.scope.sees else None,
        template_url=f"/api/v1/processes/{process.name}/template.csv",
    )
