"""From bytes to lines of cells: what is detected and reported."""

import csv
import io

import pytest
from hypothesis import given, strategies as st

from intake.tables.open_table import FileFormat, UnreadableFile, table_of
from tests.intake.workbooks import Day, book, rows, sheet, workbook

TEXT = "Trans No,Supplier Name,Amount\nT-1,Café “Ö”,12.50\n"


def lines(data: bytes) -> list[list[str]]:
    return [cells for _, cells in table_of(data).lines()]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), "UTF-8"),
        (TEXT.encode("utf-8-sig"), "UTF-8"),
        (TEXT.encode("utf-16"), "UTF-16"),
        (TEXT.encode("utf-16-le"), "UTF-16"),
        (TEXT.encode("utf-16-be"), "UTF-16"),
        (TEXT.encode("cp1252"), "Windows-1252"),
        ("Trans No,Supplier Name,Amount\nT-1,NESTLÉ\u2019S ÀÉ,12.50\n".encode("cp1252"), "Windows-1252"),
    ],
)
def test_the_encoding_is_found_and_reported(data: bytes, encoding: str) -> None:
    assert table_of(data).format == FileFormat(kind="csv", encoding=encoding, delimiter=",")
    assert lines(data)[0] == ["Trans No", "Supplier Name", "Amount"]
    assert lines(data)[1][1] in ("Café “Ö”", "NESTLÉ\u2019S ÀÉ")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_delimiter_is_the_one_that_parts_the_lines_alike(mark: str) -> None:
    text = f"Title, with a comma; and more\n\nRef{mark}Payee{mark}Amount\n1{mark}A{mark}2\n2{mark}B{mark}3\n"
    assert table_of(text.encode()).format.delimiter == mark
    assert lines(text.encode())[2] == ["Ref", "Payee", "Amount"]


def test_known_headings_decide_on_the_delimiter_before_all_else() -> None:
    text = "ref,payee\n" + "a;b\n" * 9
    assert table_of(text.encode()).format.delimiter == ";"
    assert table_of(text.encode(), lambda line: sum(cell in ("ref", "payee") for cell in line)).format.delimiter == ","


def test_what_excel_says_of_the_delimiter_is_believed_and_no_line_is_lost() -> None:
    assert lines(b"sep=;\r\na,b;c\r\n") == [[], ["a,b", "c"]]


def test_a_table_may_be_gone_through_again_and_again() -> None:
    table = table_of(TEXT.encode())
    assert list(table.lines()) == list(table.lines())
    assert [line for line, _ in table.below(1)] == [2]


def test_a_workbook_is_known_by_its_content_and_its_cells_are_as_somebody_typed_them() -> None:
    data = workbook(
        ["Ref", "No", "Amount", "Day", "Paid"],
        [],
        ["INV, 1", 46281108.0, 1500.0, Day(46478), True],
        ["two\nlines", 9007199254740991, 0.1, None, "=1+1"],
        ["x", 1e22, 1e-7, -2.5, ""],
    )
    assert lines(data) == [
        ["Ref", "No", "Amount", "Day", "Paid"],
        [],
        ["INV, 1", "46281108", "1500", "2027-04-01", "true"],
        ["two\nlines", "9007199254740991", "0.1", "", "=1+1"],
        ["x", "1.000000000000000E+22", "0.0000001", "-2.5", ""],
    ]
    assert [line for line, _ in table_of(data).lines()] == [1, 2, 3, 4, 5]


def test_the_first_sheet_that_holds_anything_is_read_and_the_others_are_named() -> None:
    data = book({"Notes": sheet(""), "June": sheet(rows([["a"], ["b"]])), "July": sheet(rows([["c"]]))})
    assert table_of(data).format == FileFormat(kind="xlsx", sheet="June", ignored_sheets=("Notes", "July"))
    assert str(table_of(data).format) == "Excel workbook, sheet 'June'; not read: Notes, July"
    assert lines(data) == [["a"], ["b"]]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)
tables = st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1, max_size=6)


@given(tables, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.sampled_from([",", ";", "\t"]))
def test_what_a_program_writes_is_read_back(table: list[list[str]], encoding: str, mark: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=mark, quoting=csv.QUOTE_ALL).writerows([["first", "second"], *table])
    read = table_of(text.getvalue().encode(encoding), lambda line: sum(cell in ("first", "second") for cell in line))
    assert read.format.delimiter == mark
    assert [found for _, found in read.lines()] == [["first", "second"], *table]


@given(st.integers(0, 1600), st.binary(min_size=1, max_size=4))
def test_a_workbook_with_wrong_bytes_is_read_or_refused(place: int, wrong: bytes) -> None:
    data = bytearray(workbook(["Ref", "Payee"], ["1", "Acme"]))
    data[place : place + len(wrong)] = wrong
    try:
        assert table_of(bytes(data)).format
    except UnreadableFile as refused:
        assert str(refused)
