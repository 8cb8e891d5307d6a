"""From bytes to typed rows: refused files, invalid rows, and parsed values."""

import csv
import io
import zipfile
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, Field, field_validator, model_validator

from activities.payment.request import PaymentRequest
from domain.base import FieldProblem
from intake.parse_rows import MAX_ROWS, ParsedRow, UnreadableFile, read
from workflows.registry import PROCESSES

HEAD = b"reference,payee,amount,currency,account,due_date,memo,payee_account\n"
GOOD = b"INV-1,Acme Paper Ltd,12.50,GBP,operating,,,\n"


class Loan(BaseModel):
    """A model of plain types, as somebody's own process may have it."""

    book: str = Field(min_length=2, max_length=20)
    days: int = Field(gt=0, le=30)
    fee: Decimal = Field(default=Decimal(0), ge=0, decimal_places=2, max_digits=5)
    back: date | None = None
    shelf: Literal["A", "B"] = "A"
    express: bool = False

    @field_validator("book")
    @classmethod
    def _is_ours(cls, book: str) -> str:
        if book.startswith("X"):
            raise ValueError("is not one of our books")
        return book

    @model_validator(mode="after")
    def _long_loans_cost(self) -> "Loan":
        if self.days > 20 and not self.fee:
            raise ValueError("a loan of more than 20 days needs a fee")
        return self


def loans(*lines: str) -> list[ParsedRow]:
    return list(read("\n".join(["reference,book,days,fee,back,shelf,express,priority", *lines]).encode(), Loan).rows)


def errors_of(*lines: str) -> list[str]:
    return [str(error) for row in loans(*lines) for error in row.errors]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return buffer.getvalue()


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "no bytes": (b"", "empty", "the file is empty"),
    "blanks only": (b" \r\n \n\t", "empty", "the file is empty"),
    "a byte order mark only": (b"\xef\xbb\xbf", "empty", "the file is empty"),
    "commas only": (b",,,\n,,,\n", "empty", "the file is empty"),
    "headings only": (HEAD, "empty", "headings but no rows"),
    "headings and blank lines": (HEAD + b"\n,,,,,,,\n\n", "empty", "headings but no rows"),
    "a workbook that is none": (zipped(), "format", "the workbook is damaged"),
    "an old Excel workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "format", "an old Excel workbook"),
    "a gzip archive": (b"\x1f\x8b\x08\x00abc", "format", "a gzip archive"),
    "a PDF": (b"%PDF-1.7\n", "format", "a PDF"),
    "a web page": (b"\n<!doctype html><html>", "format", "HTML or XML"),
    "JSON": (b'[{"reference": "INV-1"}]', "format", "JSON"),
    "broken UTF-16": ((HEAD + GOOD).decode().encode("utf-16") + b"x", "encoding", "looks like UTF-16 and is broken"),
    "UTF-32": ((HEAD + GOOD).decode().encode("utf-32"), "encoding", "is UTF-32"),
    "UTF-8 and Windows-1252": (HEAD + GOOD + "Ä".encode() + b"\xe9,,,,,,,\n", "encoding", "line 3: the file is UTF-8"),
    "a byte of no encoding": (
        HEAD + b"INV-2,\x81,1,GBP,o,,,\n",
        "encoding",
        "line 2: byte 0x81 belongs to no known encoding",
    ),
    "control characters": (HEAD + GOOD + b"INV-2,\xe9\x02,1,GBP,o,,,\n", "format", "line 3: holds control characters"),
    "Latin-1 behind a mark": (b"\xef\xbb\xbf" + HEAD + b"a\xe9,1,GBP,o,,,,\n", "encoding", "line 2: "),
    "half a surrogate": (HEAD + b"\xed\xa0\x80,Acme,1,GBP,o,,,\n", "encoding", "line 2: "),
    "a NUL": (HEAD + GOOD + b"INV-2,Ac\0me,1,GBP,operating,,,\n", "format", "line 3: holds a NUL byte"),
    "an unclosed quote": (
        HEAD + GOOD + b'INV-2,"Acme,1,GBP,operating,,,\n' + GOOD,
        "format",
        "line 3: a cell in the row that",
    ),
    "a stray quote": (HEAD + b'INV-2,"Acme" Paper,1,GBP,operating,,,\n', "format", "line 2: text follows a closing"),
    "an unclosed quote, closed later": (
        HEAD + b'INV-1,"Acme,1,GBP,operating,,,\nINV-2,"Bee",1,GBP,operating,,,\n',
        "format",
        "line 3: text follows a closing quote (in the row that starts on line 2)",
    ),
    "no reference": (b"payee,amount,currency,account\nAcme,1,GBP,o\n", "headers", "missing: reference. Found: 'payee'"),
    "several headings missing": (b"reference,memo\nINV-1,x\n", "headers", "missing: payee, amount, currency, account"),
    "no headings": (GOOD + GOOD, "headers", "Found: 'INV-1', 'Acme Paper Ltd'"),
    "a heading twice": (b"reference,payee,amount,Amount \nINV-1,A,1,1\n", "headers", "more than once: amount"),
    "two headings twice": (b"b,a,b,a\n1,2,3,4\n", "headers", "line 1: these headings appear more than once: a, b"),
    "bars": (HEAD.replace(b",", b"|") + GOOD, "headers", "separated by bars: separate the columns by commas"),
    "each line one quoted cell": (b'"reference,payee"\n"INV-1,Acme"\n', "headers", "each line is quoted as a whole"),
    "201 columns": (
        ",".join(f"c{n}" for n in range(201)).encode() + b"\n1\n",
        "too_large",
        "the file has 201 columns, and at most 200 are allowed: remove columns",
    ),
    "a huge cell": (HEAD + b"INV-1," + b"x" * 131_073 + b",1,GBP,o,,,\n", "too_large", "line 2: a cell is longer"),
    "a quote open over a huge rest": (HEAD + b'INV-1,"x\n' + GOOD * 4000, "too_large", "line 2: a cell is longer"),
    "too many rows": (
        b"reference,book,days\n" + b"r,Ab,1\n" * (MAX_ROWS + 1),
        "too_large",
        "line 100002: the file has more than 10",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_with_a_reason(name: str) -> None:
    data, kind, words = REFUSED[name]
    with pytest.raises(UnreadableFile) as refused:
        read(data, Loan if b"book" in data else PaymentRequest)
    assert refused.value.kind == kind
    assert words in str(refused.value)


WRONG_CELLS = {
    "L1,Dune,soon,,,,,": ["days: 'soon' is not a whole number such as 3"],
    "L1,Dune,2.5,,,,,": ["days: '2.5' is not a whole number such as 3"],
    "L1,Dune,,,,,,": ["days: enter a value"],
    "L1,Dune,0,,,,,": ["days: '0' is not more than 0"],
    "L1,Dune,31,,,,,": ["days: '31' is more than 30"],
    "L1,Dune,3,abc,,,,": ["fee: 'abc' is not a number such as 1250.00"],
    "L1,Dune,3,NaN,,,,": ["fee: 'NaN' is not a number such as 1250.00"],
    "L1,Dune,3,-1,,,,": ["fee: '-1' is less than 0"],
    "L1,Dune,3,1.005,,,,": ["fee: '1.005' has more than 2 decimals"],
    "L1,Dune,3,1234567,,,,": ["fee: '1234567' has more than 5 digits"],
    "L1,Dune,3,,31/02/2026,,,": ["back: '31/02/2026' is not a date such as 2027-03-31"],
    "L1,Dune,3,,2026-02-31,,,": ["back: '2026-02-31' is not a date such as 2027-03-31"],
    "L1,Dune,3,,,C,,": ["shelf: 'C' is not one of 'A' or 'B'"],
    "L1,Dune,3,,,,perhaps,": ["express: 'perhaps' is neither yes nor no"],
    "L1,D,3,,,,,": ["book: 'D' is shorter than 2 characters"],
    "L1," + "D" * 90 + ",3,,,,,": ["book: '" + "D" * 60 + "…' is longer than 20 characters"],
    "L1,X-ray,3,,,,,": ["book: 'X-ray': is not one of our books"],
    "L1,Dune,25,,,,,": ["a loan of more than 20 days needs a fee"],
    "L1,Dune,3,,,,,9": ["priority: '9' is not 1, 2, 3, 4 or 5"],
    "L1,Dune,3,,,,,high": ["priority: 'high' is not 1, 2, 3, 4 or 5"],
    ",Dune,3,,,,,": ["reference: enter a reference of 1 to 120 characters, for example an invoice number"],
    "R" * 121 + ",Dune,3,,,,,": ["reference: a reference has at most 120 characters, this one has 121"],
    "A\x07B,Dune,3,,,,,": [
        "reference: has a character that cannot be seen (U+0007, control character) at position 2: remove it"
    ],
    "L1": ["too few cells: 1 for 8 headings"],
    "L1,Dune": ["too few cells: 2 for 8 headings"],
    "L1,Dune,3,,,,,,x": ["too many cells: 9 for 8 headings"],
    ",X,none,x,y,z,w,0": [
        "reference: enter a reference of 1 to 120 characters, for example an invoice number",
        "priority: '0' is not 1, 2, 3, 4 or 5",
        "book: 'X' is shorter than 2 characters",
        "days: 'none' is not a whole number such as 3",
        "fee: 'x' is not a number such as 1250.00",
        "back: 'y' is not a date such as 2027-03-31",
        "shelf: 'z' is not one of 'A' or 'B'",
        "express: 'w' is neither yes nor no",
    ],
}


@pytest.mark.parametrize("line", WRONG_CELLS)
def test_everything_wrong_with_a_row_is_said_at_once_and_in_words(line: str) -> None:
    assert errors_of(line) == WRONG_CELLS[line]


def test_bad_rows_do_not_stop_good_ones() -> None:
    rows = loans("L1,Dune,3,,,,,", "L2,Dune", "L3,Dune,no,,,,,", "L4,Emma,4,1.50,2027-01-31,B,yes,2")
    assert [bool(row.input) for row in rows] == [True, False, False, True]
    last = rows[-1]
    assert last.input == Loan(book="Emma", days=4, fee=Decimal("1.50"), back=date(2027, 1, 31), shelf="B", express=True)
    assert (last.reference, last.key, last.priority) == ("L4", "l4", 2)


def test_lines_are_those_of_the_file_also_behind_quoted_line_breaks_and_blank_lines() -> None:
    rows = loans("", 'L1,"Du\nne\r\n",3,,,,,', ",,,,,,,", "L2,Emma,3,,,,,", "   ", 'L3,"x"', "L4,Emma,3,,,,,")
    assert [(row.reference, row.line) for row in rows] == [("L1", 3), ("L2", 7), ("L3", 9), ("L4", 10)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_three_line_ends_are_read(end: str) -> None:
    rows = read(end.join(["", "reference,book,days", "L1,Dune,3", "", "L2,Emma,x"]).encode(), Loan).rows
    assert [(row.line, row.reference, len(row.errors)) for row in rows] == [(3, "L1", 0), (5, "L2", 1)]


def test_separators_that_are_line_ends_only_to_python_stay_inside_their_cell() -> None:
    rows = loans("L1,Du\u2028ne\x0bx\x85,3,,,,,", "L2,Emma,3,,,,,")
    assert [row.line for row in rows] == [2, 3]
    assert isinstance(rows[0].input, Loan) and rows[0].input.book == "Du\u2028ne\x0bx"


@pytest.mark.parametrize(
    "head",
    [
        "\ufeffreference,book,days",
        " Reference ,BOOK,Days",
        '\ufeff"reference","book","days"',
        "reference,book,days\ufeff",
    ],
)
def test_headings_match_without_case_blanks_and_byte_order_mark(head: str) -> None:
    (row,) = read(f"{head}\nL1,Dune,3\n".encode(), Loan).rows
    assert row.input == Loan(book="Dune", days=3)


def test_unknown_columns_are_ignored_and_reported() -> None:
    sheet = read(b"Type ,reference,,book,days,Supplier ID\nx,L1,y,Dune,3,7\n", Loan)
    assert sheet.ignored_columns == ["Type", "(column 3)", "Supplier ID"]
    assert next(iter(sheet.rows)).input == Loan(book="Dune", days=3)


def test_a_blank_optional_cell_is_an_absent_one() -> None:
    (row,) = loans("L1,Dune,3, ,\u00a0,,,")
    assert row.input == Loan(book="Dune", days=3)
    assert row.priority is None


def test_a_reference_is_shown_as_written_and_compared_without_case_and_blanks() -> None:
    (row,) = loans("  Inv   Ä-1 ,Dune,3,,,,,")
    assert (row.reference, row.key) == ("Inv Ä-1", "inv ä-1")


def test_a_reference_that_fits_no_workflow_id_is_a_wrong_row_and_not_a_failed_start() -> None:
    assert errors_of("号" * 120 + ",Dune,3,,,,,") == [
        "reference: this reference is too long: use fewer characters other than a-z and 0-9"
    ]


def test_formulas_and_direction_marks_are_text_or_refused_never_run() -> None:
    rows = list(read(HEAD + b"INV-1,=cmd|'/c calc'!A0,1,GBP,operating,,,\n", PaymentRequest).rows)
    assert isinstance(rows[0].input, PaymentRequest) and rows[0].input.payee == "=cmd|'/c calc'!A0"
    (wrong,) = read(HEAD + "INV-1,Acme \u202eknaB,1,GBP,operating,,,\n".encode(), PaymentRequest).rows
    assert [error.column for error in wrong.errors] == ["payee"]


def test_a_bank_account_is_not_repeated_in_an_error() -> None:
    payment = PROCESSES["payment"]
    (row,) = read(
        HEAD + b"INV-1,Acme,1,GBP,operating,,,GB00WEST12345698765432\n", payment.input, payment.shown_input
    ).rows
    assert [str(error) for error in row.errors] == [
        "payee_account: '…5432': not a valid IBAN: check its length and its check digits"
    ]


def test_the_whole_amount_goes_with_its_currency() -> None:
    lines = b"INV-1,Acme,1.5,JPY,operating,,,\nINV-2,Acme,1.005,XXX,operating,,,\n"
    first, second = read(HEAD + lines, PaymentRequest).rows
    own = "JPY has no decimals, and 1.5 has 1"
    assert first.errors == [FieldProblem(column="amount", message=own, value="1.5", expected=own)]
    assert [error.column for error in second.errors] == ["currency"]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
wild_rows = st.lists(st.lists(cells | st.sampled_from(["3", "Dune", "L1", ""]), max_size=5), max_size=8)


@given(wild_rows)
def test_any_cells_that_csv_can_write_are_read_back_row_by_row(table: list[list[str]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["reference", "book", "days"], *table])
    filled = [row for row in table if any(cell.strip() for cell in row)]
    try:
        rows = list(read(buffer.getvalue().encode(), Loan).rows)
    except UnreadableFile as refused:
        assert refused.kind == "empty" and not filled
        return
    assert len(rows) == len(filled)
    for row, written in zip(rows, filled, strict=True):
        assert (row.input is None) == bool(row.errors)
        uneven = len(written) < 3 or any(cell.strip() for cell in written[3:])
        assert uneven == any("cells" in error.message for error in row.errors)
    assert [row.line for row in rows] == sorted({row.line for row in rows})


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: HEAD + GOOD + tail))
def test_any_bytes_are_rows_or_a_refusal(data: bytes) -> None:
    try:
        sheet: Any = read(data, PaymentRequest)
    except UnreadableFile as refused:
        assert str(refused)
        return
    assert sheet.rows
