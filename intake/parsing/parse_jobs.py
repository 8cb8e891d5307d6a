"""The jobs of a parser process: pure functions, which ask the gateway or the worker for data from the database.

`ask(question, value)` returns an answer of `intake/upload.py`. All results are JSON, or bytes.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cases.check_names import Everybody, KnownNames, wrong_names
from cases.chosen_deciders import ChosenDeciders
from cases.forecast import Forecast
from domain.base import FieldProblem
from domain.batch import BatchCounts
from domain.named_fields import Named, names_in
from domain.scope import Reach
from intake import invalid_rows as bad
from intake.classify_rows import RowClassifier
from intake.mapping.mapping_choice import SEVERAL, GivenMapping, MappingChoice, mapping_json
from intake.masked_columns import MaskedColumns
from intake.parse_rows import ParsedRow, Sheet
from intake.read_file import process_of as named_process
from intake.tables.open_table import FileFormat
from policy.model import Policy
from policy.parse import parse
from store.cases import batches
from store.cases.batches import BatchRow, PlannedRow
from workflows.registry import INPUTS, PROCESSES

Ask = Callable[[str, Any], Any]

PREVIEW = 20
"""How many invalid rows, and how many duplicates, a report shows at most. The list of the rows of a batch has all rows.
"""
CHUNK = 1_000
"""How many rows are classified and stored together.

A decision can wait for the database as long as one such chunk takes.
"""


def dry_run(data: bytes, ask: Ask, **about: Any) -> dict[str, Any]:
    """Return a report on a file without storing anything: each row classified, and the tasks that the valid rows would
    cause.
    """
    return _report(data, ask, keep=False, **about)


def take(data: bytes, ask: Ask, **about: Any) -> dict[str, Any]:
    """Classify every row of a file.

    The question `opened` asks to store how the file is read, the question `rows` to store each chunk of rows.
    """
    return _report(data, ask, keep=True, **about)


def look(
    data: bytes,
    _ask: Ask,
    *,
    process: str,
    mappings: Path | None,
    given: GivenMapping | None,
    opening: Mapping[str, str],
) -> dict[str, Any]:
    """Return a preview of a file."""
    choice = MappingChoice(PROCESSES, mappings)
    return asdict(choice.look(process, data, choice.opened(process, given, opening)))


def process_of(data: bytes, _ask: Ask) -> str:
    """Return the process that the headings of a file match, or SEVERAL."""
    return named_process(data, INPUTS) or SEVERAL


def bad_rows(
    data: bytes, ask: Ask, *, read_as: Mapping[str, Any], process: str, mapping: Mapping[str, Any] | None
) -> bytes:
    """Return rows of a file as CSV, each with its error, and with masked fields masked.

    The question `errors` asks for the next errors by line.
    """
    errors: dict[int, str] = {}
    while found := ask("errors", None):
        errors.update(found)
    kinds = PROCESSES.values() if process == SEVERAL else [PROCESSES[process]] if process in PROCESSES else []
    return bad.bad_rows(data, errors, read_as, MaskedColumns.of(kinds, mapping)).encode()


def warm_up() -> None:
    """Read a small file of every process, so that values computed once, such as names of headings, are in memory."""

    choice = MappingChoice()
    for name, process in PROCESSES.items():
        headings, cells = ",".join(process.example), "x," * len(process.example)
        data = f"{headings}\n{cells}\n".encode()
        choice.look(name, data)
        for _ in choice.sheet(name, data).rows:
            pass


# ---------------------------------------------------------------------------------------------------------- the report


def _report(
    data: bytes,
    ask: Ask,
    *,
    keep: bool,
    process: str,
    mappings: Path | None,
    given: GivenMapping | None,
    opening: Mapping[str, str],
    policy: str,
    by: str,
    resubmit: bool,
    starts: Reach,
) -> dict[str, Any]:
    rules = parse(policy, source="the policy", inputs=INPUTS, pinned=True)
    choice = MappingChoice(PROCESSES, mappings)
    sheet = choice.sheet(process, data, rules, choice.opened(process, given, opening), starts)
    reading = {
        "blank": sheet.blank,
        "ignored_columns": sheet.ignored_columns,
        "format": sheet.format.model_dump(mode="json"),
        "mapping": mapping_json(process, sheet.mapping),
    }
    if keep:
        ask("opened", reading)
    tally, forecast = Tally(), Forecast(rules, PROCESSES, by)
    for read, planned in _classified(process, sheet, rules, by, ask, resubmit=resubmit):
        tally.add(planned)
        if keep:
            ask("rows", [row.model_dump(mode="json", exclude={"case_status", "says"}) for row in planned])
        else:
            _foresee(forecast, read, planned)
    if not keep:
        reading["forecast"] = forecast.report().model_dump(mode="json")
    return {**reading, "notes": _notes(sheet), **tally.report(sheet.blank)}


def _classified(
    process: str, sheet: Sheet, policy: Policy, by: str, ask: Ask, *, resubmit: bool
) -> Iterator[tuple[Sequence[ParsedRow], Sequence[PlannedRow]]]:
    """Yield the rows of a file with their classification in chunks, so that they are never all in memory."""
    rounds = {name: policy.rounds(name) for name in PROCESSES if policy.has(name)}
    classifier = RowClassifier(process, PROCESSES, by, rounds, resubmit=resubmit)
    names = _Names(ask, ChosenDeciders(policy, by))
    rows = iter(sheet.rows)
    while chunk := list(islice(rows, CHUNK)):
        known = ask("known", classifier.keys(chunk))
        starting = [row for row in chunk if classifier.may_start(row, known)]
        wrong = _misnamed(names, process, starting, sheet)
        chunk = [wrong.get(row.line, row) for row in chunk]
        yield chunk, classifier.classify(chunk, known)


def _foresee(forecast: Forecast, read: Sequence[ParsedRow], judged: Sequence[PlannedRow]) -> None:
    for row, planned in zip(read, judged, strict=True):
        if row.input is None:
            continue
        if planned.outcome == "valid":
            forecast.valid(planned.process, planned.reference, planned.priority, row.input)
        elif planned.outcome == "duplicate":
            forecast.duplicate(planned.process, row.input)


def _notes(sheet: Sheet) -> list[str]:
    """Return notes for people on how a file was read; none for a CSV in the form that Holdgate writes."""
    if not sheet.notes and str(sheet.format) == str(FileFormat(kind="csv", encoding="UTF-8", delimiter=",")):
        return []
    return [f"read as {sheet.format}", *sheet.notes]


class Tally:
    """Counts the classified rows of a file, and keeps the first invalid and duplicate rows for the report."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._errors: list[BatchRow] = []
        self._same: list[BatchRow] = []
        self._differing: list[BatchRow] = []
        self._resubmittable = 0

    @property
    def counts(self) -> BatchCounts:
        return batches.counted(self._outcomes)

    def add(self, rows: Sequence[PlannedRow]) -> None:
        """Add these rows to the counts."""
        self._outcomes.update(row.outcome for row in rows)
        for row in rows:
            if row.outcome == "invalid":
                _first(self._errors, row)
            elif row.outcome == "duplicate":
                _first(self._differing if row.differs else self._same, row)
                self._resubmittable += row.resubmits is not None

    def report(self, blank: int) -> dict[str, Any]:
        """Return the fields of a BatchReport that come from these counts."""
        skipped = self._outcomes["skipped"]
        return {
            "rows": self.counts.model_dump(mode="json"),
            "skipped": skipped,
            "lines_read": self.counts.total + skipped + blank,
            "errors": [row.model_dump(mode="json") for row in self._errors],
            "duplicates": [row.model_dump(mode="json") for row in [*self._differing, *self._same][:PREVIEW]],
            "resubmittable": self._resubmittable,
        }


def _first(kept: list[BatchRow], row: PlannedRow) -> None:
    if len(kept) < PREVIEW:
        kept.append(BatchRow.model_validate(row.model_dump(include=set(BatchRow.model_fields))))


# ----------------------------------------------------------------------------------------------------------- the names


class _Names:
    """Checks the names of people and groups in rows.

    The question `there` asks for the names that exist, `everybody` for suggestions, and `not_to_choose` for people who
    cannot be chosen as deciders.
    """

    def __init__(self, ask: Ask, chosen: ChosenDeciders) -> None:
        self._ask, self._chosen = ask, chosen
        self._everybody: dict[str, Everybody] = {}
        self._suggested: dict[tuple[str, Named], Sequence[str]] = {}

    def problems(self, process: str, rows: Sequence[ParsedRow]) -> list[list[FieldProblem]]:
        """Return, for each row, the problems with its names of people and groups."""
        found = [names_in(row.input) if row.input is not None else [] for row in rows]
        if not any(found):
            return [[] for _ in rows]
        there: KnownNames = self._ask("there", sorted({each.name for some in found for each in some}))
        wrong = [[each for each in some if each.name not in there[each.kind]] for some in found]
        problems = wrong_names(process, wrong, self._of, self._suggested)
        return [
            self._badly_chosen(process, row.input) if row.input is not None and some and not known else known
            for row, some, known in zip(rows, found, problems, strict=True)
        ]

    def _badly_chosen(self, process: str, request: BaseModel) -> list[FieldProblem]:
        choices = self._chosen.choices(process, request)
        for choice in choices:
            if names := self._chosen.unknown(choice):
                self._chosen.learn(choice, names, self._ask("not_to_choose", (choice.choose_from, names)))
        return self._chosen.problems(choices)

    def _of(self, process: str) -> Everybody:
        if process not in self._everybody:
            self._everybody[process] = self._ask("everybody", process)
        return self._everybody[process]


def _misnamed(names: _Names, process: str, rows: Sequence[ParsedRow], sheet: Sheet) -> dict[int, ParsedRow]:
    """Return, by line, the rows that name unknown people or groups, or people who cannot be chosen as deciders. The
    errors of each row are these problems.
    """
    found: dict[int, ParsedRow] = {}
    of_process: dict[str, list[ParsedRow]] = {}
    for row in rows:
        of_process.setdefault(row.process or process, []).append(row)
    for name, some in of_process.items():
        for row, problems in zip(some, names.problems(name, some), strict=True):
            if problems:
                errors = [each.model_copy(update={"column": _heading(each.column or "", sheet)}) for each in problems]
                found[row.line] = replace(row, input=None, errors=errors)
    return found


def _heading(field: str, sheet: Sheet) -> str:
    """Return the heading of the column from which a field was read. The entries of a list come from one column."""
    name = field.split(".")[0]
    headings = sheet.mapping.columns.get(name, ()) if sheet.mapping else ()
    return headings[0] if len(headings) == 1 else name
