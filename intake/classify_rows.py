"""Classify each row of a file: valid, invalid, duplicate or skipped.

The dry run and the real start use the same code. The functions here are pure: the caller passes the cases that exist.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel

from cases.differences import differing
from domain.base import FieldProblem
from domain.ids import case_id_for
from domain.input_errors import quoted
from domain.money import exact
from domain.status import ENDED_UNDONE
from intake.parse_rows import ParsedRow
from store.cases.batches import Change, Existing, PlannedRow
from workflows.registry import Process

Known = Mapping[str, Mapping[str, Existing]]
"""For each process: the newest case of each reference, by the key of the reference."""


class RowClassifier:
    """Classifies the rows of one file, in file order.

    With `resubmit`, a row with the reference of a case of the same requester is not a duplicate if that case ended
    undone and the policy allows another round: the row starts the next round of the case. `rounds` has the number of
    rounds that each process allows.
    """

    def __init__(
        self,
        process: str,
        processes: Mapping[str, Process],
        by: str,
        rounds: Mapping[str, int],
        *,
        resubmit: bool = False,
    ) -> None:
        self._process, self._processes, self._by = process, processes, by
        self._rounds, self._resubmit = rounds, resubmit
        self._above: dict[tuple[str, str], tuple[str, int]] = {}
        """For each process and reference key: the first valid row so far, as its input in JSON and its line.

        JSON needs little memory: up to 100,000 rows are kept.
        """

    def keys(self, rows: Sequence[ParsedRow]) -> dict[str, list[str]]:
        """Return, by process, the reference keys in the rows.

        The caller must look up the cases of these keys and pass the cases as `known`.
        """
        keys: dict[str, list[str]] = {}
        for row in rows:
            if row.input is not None:
                keys.setdefault(row.process or self._process, []).append(row.key)
        return keys

    def may_start(self, row: ParsedRow, known: Known) -> bool:
        """Return True if the row would start a case. `known` has the existing cases with the references of the rows."""
        process = row.process or self._process
        existing = known.get(process, {}).get(row.key)
        if row.input is None or existing is None:
            return row.input is not None
        return (self._resubmit or existing.unstarted) and self._not_again(process, existing) is None

    def classify(self, rows: Sequence[ParsedRow], known: Known) -> list[PlannedRow]:
        """Return the next rows of the file, classified.

        `known` has the existing cases with the references of these rows.
        """
        return [self._classified(row, known) for row in rows]

    def _classified(self, row: ParsedRow, known: Known) -> PlannedRow:
        process = row.process or self._process
        about: dict[str, Any] = {"line": row.line, "reference": row.reference, "process": process}
        if row.skipped:
            return PlannedRow(**about, outcome="skipped", errors=[FieldProblem(column=None, message=row.skipped)])
        if row.input is None:
            return PlannedRow(**about, outcome="invalid", errors=row.errors)
        existing = known.get(process, {}).get(row.key)
        if existing is not None:
            no = self._not_again(process, existing)
            if no is not None or not (self._resubmit or existing.unstarted):
                if existing.requester != self._by:
                    # The person must not learn the state or the round of another requester's case.
                    return PlannedRow(**about, outcome="duplicate", case_id=case_id_for(process, row.reference))
                about |= {"case_id": existing.case_id, "case_status": existing.status}
                about |= {"resubmits": None if no is not None else existing.case_id, "not_again": no or None}
                if existing.erased:  # there is nothing to compare with
                    return PlannedRow(**about, outcome="duplicate")
                return self._duplicate(about, existing.input, row.input)
        case_id = case_id_for(process, row.reference, existing.round + 1 if existing else 1)
        this = (row.input.model_dump_json(), row.line)
        first = self._above.setdefault((process, row.key), this)
        if first is not this:
            stored, line = first
            return self._duplicate(about | {"case_id": case_id, "above": line}, json.loads(stored), row.input)
        return PlannedRow(
            **about,
            outcome="valid",
            case_id=case_id,
            resubmits=existing.case_id if existing else None,
            start_at=row.start_at,
            priority=row.priority,
            input=row.input.model_dump(mode="json"),
        )

    def _not_again(self, process: str, existing: Existing) -> str | None:
        """Return why this person cannot resubmit a case as its next round; None if the person can.

        Return an empty text if the case did not end undone, or if another person requested the case.
        """
        if existing.requester != self._by or existing.status not in ENDED_UNDONE:
            return ""
        if existing.erased:
            return "its content was erased"
        rounds = self._rounds.get(process, 1)
        if existing.round >= rounds:
            return f"it was round {existing.round}, and the policy allows at most {rounds} rounds"
        return None

    def _duplicate(self, about: dict[str, Any], before: Mapping[str, Any], parsed: BaseModel) -> PlannedRow:
        return PlannedRow(
            **about,
            outcome="duplicate",
            differs=differing(before, parsed),
            changes=changes(self._processes[about["process"]], before, parsed),
        )


def changes(process: Process, before: Mapping[str, Any], parsed: BaseModel) -> list[Change]:
    """Return the fields in which a new input differs from a stored input of the same person, with masked fields as
    people may see them.
    """
    old, new = process.shown_input(before), process.shown_input(parsed.model_dump(mode="json"))
    found = []
    for name in differing(before, parsed):
        was, now = _shown(process, name, old), _shown(process, name, new)
        if was == now:
            masked = name in process.words.masked
            now = f"another one ending {now.removeprefix('…')}" if masked else f"{now} (not shown: where they differ)"
        found.append(Change(field=name, before=was, after=now))
    return found


def _shown(process: Process, name: str, fields: Mapping[str, Any]) -> str:
    """Return a field as text for people: amounts with the decimals of their currency."""
    value, money = fields.get(name), process.words.money
    if value in (None, "", [], {}):
        return "nothing"
    if money and name == money[0]:
        with suppress(InvalidOperation):
            return f"{exact(Decimal(str(value)), str(fields.get(money[1])))}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    plain = isinstance(value, str | int | float)
    return quoted(value if plain else json.dumps(value, ensure_ascii=False))[1:-1]
