"""Column mappings: which columns fill which fields, and how cells are written.

A person gives a mapping, names a saved one, or accepts a suggested one.

`ColumnMapping` is the form that people write; `bound_mapping` binds a mapping to the headings of one file.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator

from domain import strict_json
from domain.base import FieldProblem
from domain.input_errors import masked_values, problems_of, quoted
from domain.moments import asked_now
from intake.cells import parse_cells
from intake.cells.currencies import SIGNS as SIGNS
from intake.mapping.target_process import Target as Target
from intake.tables.table import Hidden, Opening
from intake.tables.text_encoding import codec_of

EVERY_DATE = "*"
MAX_NAME = 100
"""The maximum number of characters of an unknown name for which an error suggests a similar known name."""
MAX_PROBLEMS = 20
"""The maximum number of problems of a mapping that an error lists."""


class WrongMapping(Exception):
    """Raised for a mapping that is invalid, or does not fit the file. The `column` of each problem is the wrong key."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"mapping.{each.column}: {each.message}".replace(".:", ":", 1) for each in problems))
        self.problems = list(problems)


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _formats(value: Any) -> Any:
    return {EVERY_DATE: value} if isinstance(value, (str, list, tuple)) else value


Several = Annotated[tuple[str, ...], BeforeValidator(_several)]


class ColumnMapping(BaseModel):
    """How files of one kind are read. The keys of `columns`, `constants` and `dates` are fields of the process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, Several] = {}
    """By field: the heading of its column, or several headings, of which the first one that the file has is read.

    Headings are compared without case, blanks and underscores. `{Trans No}/{Line}` joins several columns. If empty, the
    columns are suggested from the file.
    """
    constants: dict[str, str] = {}
    """By field: a constant that the field gets in every row."""
    dates: Annotated[dict[str, Several], BeforeValidator(_formats)] = {}
    """By field, or by `*` for all fields: formats such as `DD/MM/YYYY`.

    If empty, the format is found from the values of the column, if these are clear.
    """
    decimal: parse_cells.Decimals | None = None
    """The decimal mark.

    `either`: the mark is found for each cell, if the cell makes the mark clear. None: the mark is found from all cells
    with numbers.
    """
    thousands: Literal["", ",", ".", " ", "'", "none"] = ""
    """The mark between thousands.

    If empty, any mark other than the decimal mark is accepted. `none`: no mark between thousands is accepted.
    """
    currency_signs: dict[str, str] = {}
    """Currency codes by sign, for signs such as `$`. Signs that stand for one currency only, such as £ and €, are known
    already.
    """
    negative: Literal["refuse", "skip"] = "refuse"
    """Rows with an amount below 0: `refuse` makes them invalid, `skip` leaves them out as credit notes."""
    skip: tuple[Literal["totals", "headings"], ...] = ("totals", "headings")
    """The kinds of lines that are not rows and are skipped: totals, and headings that appear again."""
    encoding: str = ""
    """The encoding of a CSV, such as `Windows-1251`. If empty, the encoding is detected."""
    sheet: str = ""
    """The sheet of a workbook. If empty, the first visible sheet is read that has at least two thirds as many known
    headings as the best sheet.
    """
    hidden: Hidden = "skip"
    """Rows, columns and sheets that a workbook hides: `skip` leaves these parts out and tells people so, `read` reads
    these parts.
    """

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, encoding: str) -> str:
        if encoding.strip():
            codec_of(encoding.strip())
        return encoding.strip()

    @field_validator("dates")
    @classmethod
    def _say_days(cls, dates: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for formats in dates.values():
            for words in formats:
                parse_cells.strptime_of(words)
        return dates

    @field_validator("currency_signs")
    @classmethod
    def _are_currencies(cls, signs: dict[str, str]) -> dict[str, str]:
        for sign, code in signs.items():
            if not parse_cells.is_currency(code):
                raise ValueError(f"{quoted(code)} for {sign} is not an ISO 4217 currency code such as GBP, EUR or USD")
        return signs

    @property
    def opening(self) -> Opening:
        """Return the choices of how to open the file: encoding, sheet and hidden parts."""
        return Opening(self.encoding, self.sheet, self.hidden)

    @property
    def only_opens(self) -> bool:
        """Return True if the mapping only says how to open the file, and nothing about columns."""
        return not self.model_fields_set - {"encoding", "sheet", "hidden"} or self == ColumnMapping(
            encoding=self.encoding, sheet=self.sheet, hidden=self.hidden
        )

    @property
    def signs(self) -> tuple[tuple[str, str], ...]:
        """Pairs of currency sign and code. Longer signs come first: US$ before $."""
        return tuple(sorted({**SIGNS, **self.currency_signs}.items(), key=lambda each: -len(each[0])))


# ------------------------------------------------------------------------------------------------------- as it is given


def parse_mapping(given: object, fields: Sequence[str]) -> ColumnMapping:
    """Parse a mapping from JSON or TOML for a process with these fields. Raises WrongMapping with all problems."""
    if isinstance(given, str):
        try:
            given = strict_json.loads(given)
        except (ValueError, RecursionError) as wrong:
            raise WrongMapping([FieldProblem(column="", message=f"is not JSON: {wrong}")]) from wrong
    if not isinstance(given, Mapping):
        raise WrongMapping([FieldProblem(column="", message="must be a JSON object, or the name of a saved mapping")])
    try:
        mapping = ColumnMapping.model_validate(given)
    except ValidationError as wrong:
        raise WrongMapping([_of_key(each) for each in problems_of(wrong, {})[:MAX_PROBLEMS]]) from wrong
    known = [*fields, EVERY_DATE]
    unknown = [
        (table, name)
        for table in ("columns", "constants", "dates")
        for name in getattr(mapping, table)
        if name not in known or (name == EVERY_DATE and table != "dates")
    ]
    problems = [
        FieldProblem(
            column=f"{table}.{name[:MAX_NAME]}", message=f"is not a field of this process{nearest(name, fields)}"
        )
        for table, name in unknown[:MAX_PROBLEMS]
    ]
    problems += [
        FieldProblem(column=f"constants.{name}", message="has a column and a constant: remove one of them")
        for name in mapping.constants
        if name in mapping.columns
    ]
    problems += [
        FieldProblem(column=f"columns.{name}", message="name at least one column")
        for name, headings in mapping.columns.items()
        if not all(each.strip() for each in headings) or not headings
    ]
    if problems:
        raise WrongMapping(problems)
    return mapping


def _of_key(problem: FieldProblem) -> FieldProblem:
    column = problem.column or ""
    if problem.message == "is not a field of this process":
        near = nearest(column, list(ColumnMapping.model_fields))
        return FieldProblem(column=column, message=f"is not a key of a mapping{near}")
    return problem


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the end of an error sentence: the known name that was probably meant, or, if no name is similar, up to 30
    known names.
    """
    if len(name) > MAX_NAME:  # the time for a comparison grows with the product of both lengths
        name = ""
    near = difflib.get_close_matches(name.lower(), {each.lower(): each for each in known}, n=1, cutoff=0.5)
    if near:
        return f"; is '{next(each for each in known if each.lower() == near[0])}' meant?"
    listed = ", ".join(quoted(each) for each in known[:30] if each.strip())
    return f"; there are {listed}" if listed else ""


def heading_key(heading: str) -> str:
    """Return a heading in the form in which headings are compared: without case, blanks and underscores."""
    return re.sub(r"[\s_\ufeff]+", "", heading).casefold()


def check_constants(target: Target, constants: Mapping[str, str]) -> None:
    """Raise WrongMapping if a field does not accept its constant, because then every row would be invalid."""
    values = {name: value for name, value in constants.items() if name in target.model.model_fields}
    if returned := masked_values(values, target.shown):
        raise WrongMapping([each.model_copy(update={"column": f"constants.{each.column}"}) for each in returned])
    try:
        target.model.model_validate(values, context=asked_now())
    except ValidationError as wrong:
        found = [each for each in problems_of(wrong, target.shown(values)) if each.column in values]
        if found:
            raise WrongMapping(
                [each.model_copy(update={"column": f"constants.{each.column}"}) for each in found]
            ) from wrong
