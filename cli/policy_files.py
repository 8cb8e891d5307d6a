"""Read the files that the policy commands need: the policy in force, a case, a table of tests.

If a file cannot be read, the functions raise Unusable, whose text has a line for each mistake.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from cli.client import Unusable
from core.settings import Settings
from domain import strict_json
from domain.input_errors import problems_of
from domain.moments import asked_now, moment_of
from plugins import loader
from policy.model import Policy, PolicyError
from policy.table_tests import TableError, TableTest, table
from workflows.registry import INPUTS, PROCESSES


def in_force(settings: Settings) -> Policy:
    """Return the policy for new cases, from the file HOLDGATE_POLICY. Raises Unusable if the policy is invalid."""
    try:
        return loader.policy_file(settings.policy).current
    except PolicyError as wrong:
        raise Unusable(str(wrong)) from wrong


def known_to(policy: Policy, process: str) -> str:
    """Return `process` unchanged. Raises Unusable if there is no such process, or the policy has no section for it."""
    if process not in PROCESSES:
        raise Unusable(f"there is no process '{process}'; name one of: {', '.join(sorted(PROCESSES))}")
    if not policy.has(process):
        raise Unusable(f"{policy.source} has no section [{process}], so its cases are refused: add the section")
    return process


def case_input(path: Path, process: str) -> BaseModel:
    """Return the input of a case from a JSON file, checked as the gateway checks a request. Raises Unusable."""
    given = json_object(path)
    try:
        return INPUTS[process].model_validate(given, context=asked_now())
    except ValidationError as wrong:
        found = problems_of(wrong, PROCESSES[process].shown_input(given))
        raise Unusable("\n".join(f"{path}: {problem}" for problem in found)) from wrong


def json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, with decimals as exact numbers.

    Raises Unusable if the file has another content.
    """
    try:
        found = json.loads(_text(path), parse_float=Decimal, object_pairs_hook=strict_json.refuse_duplicate_keys)
    except (ValueError, RecursionError) as wrong:
        raise Unusable(f"{path} is not JSON: {wrong}") from wrong
    if not isinstance(found, dict):
        raise Unusable(f'{path} must contain a JSON object such as {{"amount": "1250.00"}}')
    return found


def moment(text: str | None) -> datetime:
    """Return the time of the option --at, an RFC 3339 text; now for None. Raises Unusable for another text."""
    if text is None:
        return datetime.now(UTC)
    try:
        return moment_of(text)
    except ValueError as wrong:
        raise Unusable(f"--at: '{text}': {wrong}") from wrong


def tests(path: Path | None, policy: Policy) -> list[TableTest]:
    """Return the rows of a table of policy tests.

    Without a path, read the table beside the policy: `policy.tests.toml` for `policy.toml`. Raises Unusable.
    """
    path = path or Path(policy.source).with_suffix(".tests.toml")
    try:
        return table(_text(path), source=str(path), policy=policy, inputs=INPUTS)
    except TableError as wrong:
        raise Unusable(str(wrong)) from wrong


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as wrong:
        raise Unusable(f"{path} cannot be read: {wrong.strerror}") from wrong
    except UnicodeDecodeError as wrong:
        raise Unusable(f"{path} is not UTF-8 text: save the file as UTF-8") from wrong
