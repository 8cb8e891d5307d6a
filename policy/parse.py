"""Read and check a policy text, so that mistakes are found before a case uses it, with file, line and key."""

import hashlib
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from domain.step import StepNames
from policy.calendars import Calendar
from policy.check import doubts, doubts_of_roles, expressions_of, mistakes
from policy.expressions import Expression, expression
from policy.line_numbers import Key, LineNumbers
from policy.model import GateRules, Level, Policy, PolicyError, PolicyProblem, ProcessPolicy, Retries, Step
from policy.retry_options import mistakes_of_retries, mistakes_of_steps
from policy.reveal import doubts_of_reveal, mistakes_of_reveal, reveals_in_words
from policy.roles import ROLES, role_in_words
from policy.sample_values import sample_of, type_mistake

ModelT = TypeVar("ModelT", bound=BaseModel)
Inputs = Mapping[str, type[BaseModel]]
"""The input model of each process."""
CALENDARS = "calendars"
RETRIES = "retries"
"""The names of the tables of a policy that are not sections of processes."""


def parse(
    text: str,
    *,
    source: str = "policy.toml",
    inputs: Inputs,
    gates: Mapping[str, Collection[str]] | None = None,
    steps: Mapping[str, StepNames] | None = None,
    masked: Mapping[str, Collection[str]] | None = None,
    parts: Sequence[tuple[int, str]] = (),
    pinned: bool = False,
) -> Policy:
    """Return the policy that is written in `text`.

    `gates`, `steps` and `masked` are the gates, steps and masked fields that each process has; None if they are not
    checked.

    If the text consists of several files, `parts` are the files after `source`, as in `Policy.parts`. With `pinned`,
    the policy is that of a stored case and may be old: sections of processes that no longer exist are ignored. Raises
    PolicyError with all mistakes, each with file, line and key.
    """
    raw = toml(text, source)
    lines = LineNumbers(text, source, parts)
    found: list[tuple[Key, str]] = []
    calendars, wrong_calendars = _tables(CALENDARS, raw.pop(CALENDARS, {}), Calendar, "office")
    retries, wrong_retries = _tables(RETRIES, raw.pop(RETRIES, {}), Retries, "patient")
    found += wrong_calendars + wrong_retries
    for name, options in retries.items():
        found += [((RETRIES, name, *key), said) for key, said in (mistakes_of_retries(options) if options else ())]
    sections: dict[str, ProcessPolicy] = {}
    for process, table in raw.items():
        if process not in inputs and pinned:
            continue
        if process not in inputs:
            found.append(((process,), f"unknown process; known are {', '.join(sorted(inputs))}"))
            continue
        try:
            sections[process] = section = ProcessPolicy.model_validate(table)
        except ValidationError as wrong:
            found += [((process, *error["loc"]), _message(dict(error))) for error in wrong.errors()]
            continue
        known = None if gates is None else gates.get(process, ())
        wrong_together = [
            *mistakes(section, inputs[process], known, calendars),
            *mistakes_of_reveal(section, None if masked is None else masked.get(process, ())),
            *mistakes_of_steps(section, None if steps is None else steps.get(process), retries),
        ]
        found += [((process, *key), message) for key, message in wrong_together]
    if found:
        found.sort(key=lambda each: lines.of(each[0]))
        raise PolicyError([lines.problem(key, message) for key, message in found])
    return Policy(
        source,
        text,
        hashlib.sha256(text.encode()).hexdigest(),
        sections,
        {name: calendar for name, calendar in calendars.items() if calendar},
        {name: options for name, options in retries.items() if options},
        tuple(parts),
    )


def toml(text: str, source: str) -> dict[str, Any]:
    """Return the values of a TOML text, with exact numbers. Raises PolicyError for invalid TOML."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as wrong:
        at = re.search(r"\(at line (\d+), column (\d+)\)", str(wrong))
        line = int(at[1]) if at else max(1, len(text.splitlines()))
        message = re.sub(r" \(at .*\)$", "", str(wrong))
        raise PolicyError([PolicyProblem(source, line, "", f"not valid TOML: {message}")]) from wrong


def _tables(
    key: str, raw: Any, model: type[ModelT], example: str
) -> tuple[dict[str, ModelT | None], list[tuple[Key, str]]]:
    """Return the tables below `key` by name, and the mistakes in them. The value of an invalid table is None."""
    if not isinstance(raw, dict):
        return {}, [((key,), f"must be tables such as [{key}.{example}]")]
    good: dict[str, ModelT | None] = {}
    found: list[tuple[Key, str]] = []
    for name, table in raw.items():
        try:
            good[name] = model.model_validate(table)
        except ValidationError as wrong:
            good[name] = None
            found += [((key, name, *error["loc"]), _message(dict(error), model)) for error in wrong.errors()]
    return good, found


def warnings(policy: Policy, inputs: Inputs, members: Mapping[str, Collection[str]] | None = None) -> list[str]:
    """Return one line for each statement of the policy that is valid but probably not intended.

    The start of the server, the health page and `policy check` show them. `members` are the known people of each group.
    """
    lines = LineNumbers(policy.text, policy.source, policy.parts)
    said: list[str] = []

    def say(key: Key, message: str) -> None:
        said.append(str(lines.problem(key, message)))

    for process, model in inputs.items():
        if not policy.has(process):
            say((process,), "this process has no section, so its cases are refused")
            continue
        unset = sample_of(policy.processes[process], model, optional=False)
        for key, compiled in _compiled(policy, process):
            if unset and (problem := type_mistake(key[3:], compiled, unset)):
                say(key, f"fails for a case without its optional fields: {problem}")
        for key, message in doubts_of_roles(policy.processes[process], members):
            say((process, *key), message)
        for key, message in doubts_of_reveal(policy.processes[process], members):
            say((process, *key), message)
        for name, gate in policy.processes[process].gates.items():
            for key, message in doubts(gate, members):
                say((process, "gates", name, *key), message)
    return said


def notes(policy: Policy) -> list[str]:
    """Return one line for each remark about a valid policy. The command `policy check` prints these lines."""
    lines = LineNumbers(policy.text, policy.source, policy.parts)
    said = []
    for process, section in policy.processes.items():
        for role in (role for role in ROLES if role in section.model_fields_set):
            said.append(str(lines.problem((process, role), role_in_words(role, getattr(section, role)))))
        for key, message in reveals_in_words(section):
            said.append(str(lines.problem((process, *key), message)))
        if any(compiled.reads_any("limits") for _, compiled in _compiled(policy, process)):
            key = (process, "limits")
            message = f"a case in a currency other than {', '.join(sorted(section.limits))} takes the strictest path"
            said.append(str(lines.problem(key, message)))
    return said


def _compiled(policy: Policy, process: str) -> list[tuple[Key, Expression]]:
    """Return every expression of a process with its key."""
    return [
        ((process, "gates", name, *key), expression(text))
        for name, gate in policy.processes[process].gates.items()
        for key, text in expressions_of(gate)
    ]


def _model_at(where: Key) -> type[BaseModel]:
    """Return the pydantic model of the table at a path in the section of a process."""
    if len(where) == 1:
        return ProcessPolicy
    if where[0] == "steps":
        return Step
    return Level if len(where) > 3 else GateRules


def _message(error: dict[str, Any], model: type[BaseModel] | None = None) -> str:
    match error["type"]:
        case "extra_forbidden":
            where = error["loc"]
            model = model or _model_at(where)
            return f"unknown key; known are {', '.join(model.model_fields)}"
        case "missing":
            return "is missing"
        case "string_type":
            return "must be a text in quotes"
        case "bool_type":
            return "must be true or false"
        case "int_type":
            return "must be a whole number"
        case "greater_than_equal":
            return f"must be at least {error['ctx']['ge']}"
        case "less_than_equal":
            return f"must be at most {error['ctx']['le']}"
        case "list_type":
            return 'must be a list such as ["managers"]'
        case "dict_type" | "model_type":
            return "must be a table with keys of its own"
        case "string_too_short" | "too_short":
            return "must not be empty"
        case "literal_error":
            return f"must be {error['ctx']['expected']}"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")
