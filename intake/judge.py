"""What each row of a file is, seen beside the cases that exist and the rows above it. The dry run and the real start
ask the same judge. Pure: it is told which cases exist."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from intake.problems import quoted
from intake.rows import Row
from intake.start import differing
from store.batches import Change, Existing, PlannedRow
from workflows.models import ENDED_UNDONE, Problem, case_id_for
from workflows.registry import Process

Known = Mapping[str, Mapping[str, Existing]]
"""The newest case of references, by process and reference key."""


class Judge:
    """Judges the rows of one file, in file order.

    `resubmit` makes the next round of a case that the same person asked for and that ended undone out of a row that
    would be its duplicate; `rounds` says how many rounds a process allows.
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
        self._above: dict[tuple[str, str], str] = {}
        """The inputs of valid rows as JSON, which takes little room: of 100,000 rows all are kept."""

    def keys(self, rows: Sequence[Row]) -> dict[str, list[str]]:
        """The reference keys by process, of which the judge must know whether there is a case."""
        keys: dict[str, list[str]] = {}
        for row in rows:
            if row.input is not None:
                keys.setdefault(row.process or self._process, []).append(row.key)
        return keys

    def judge(self, rows: Sequence[Row], known: Known) -> list[PlannedRow]:
        """What the next rows are."""
        return [self._judged(row, known) for row in rows]

    def _judged(self, row: Row, known: Known) -> PlannedRow:
        process = row.process or self._process
        about: dict[str, Any] = {"line": row.line, "reference": row.reference, "process": process}
        if row.skipped:
            return PlannedRow(**about, outcome="skipped", errors=[Problem(column=None, message=row.skipped)])
        if row.input is None:
            return PlannedRow(**about, outcome="invalid", errors=row.errors)
        existing = known.get(process, {}).get(row.key)
        again = existing is not None and self._may_go_on(process, existing)
        if existing is not None and not (again and (self._resubmit or existing.unstarted)):
            about["resubmits"] = existing.case_id if again else None
            return self._duplicate(about, existing.case_id, existing.input, row.input, existing.status)
        case_id = case_id_for(process, row.reference, existing.round + 1 if existing else 1)
        stored = row.input.model_dump_json()
        first = self._above.setdefault((process, row.key), stored)
        if first is not stored:
            return self._duplicate(about, case_id, json.loads(first), row.input)
        return PlannedRow(
            **about,
            outcome="valid",
            case_id=case_id,
            resubmits=existing.case_id if existing else None,
            start_at=row.start_at,
            priority=row.priority,
            input=row.input.model_dump(mode="json"),
        )

    def _may_go_on(self, process: str, existing: Existing) -> bool:
        """Whether this person may submit a case again as its next round."""
        return (
            existing.requester == self._by
            and existing.status in ENDED_UNDONE
            and existing.round < self._rounds.get(process, 1)
        )

    def _duplicate(
        self,
        about: dict[str, Any],
        case_id: str,
        before: Mapping[str, Any],
        parsed: BaseModel,
        status: str | None = None,
    ) -> PlannedRow:
        return PlannedRow(
            **about,
            outcome="duplicate",
            case_id=case_id,
            case_status=status,
            differs=differing(before, parsed),
            changes=changes(self._processes[about["process"]], before, parsed),
        )


def changes(process: Process, before: Mapping[str, Any], parsed: BaseModel) -> list[Change]:
    """What a new input says otherwise than a stored one, as it may be shown."""
    new = process.shown_input(parsed.model_dump(mode="json"))
    old = process.shown_input(before)
    return [
        Change(field=name, before=_shown(old.get(name)), after=_shown(new.get(name)))
        for name in differing(before, parsed)
    ]


def _shown(value: Any) -> str:
    return "nothing" if value in (None, "", [], {}) else quoted(value)[1:-1]
