"""Workbooks are read as people see them: formats, hidden rows, errors, merged cells, several sheets."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intake.invalid_rows import bad_rows
from intake.mapping.column_mapping import WrongMapping, parse_mapping
from intake.mapping.mapping_choice import target_of
from intake.parse_rows import Sheet
from intake.read_file import look, read_file
from intake.tables.number_formats import format_of, general
from intake.tables.open_table import UnreadableFile
from tests.intake.workbooks import MAIN, OFFICE, Cell, Cells, book, rows, sheet, styled, styles_of
from workflows.registry import PROCESSES

TARGET = target_of(PROCESSES["payment"])
USUAL = {"account": "operating", "currency": "GBP"}
HEAD: Sequence[Cell] = ("Invoice No", "Supplier", "Amount")
THEIRS: Sequence[Cell] = (*HEAD, "Currency", "Account")
PLAIN: Sequence[Cell] = ("reference", "payee", "amount", "currency", "account")


def read(data: bytes, mapping: Mapping[str, Any] | None = None) -> Sheet:
    return read_file(data, TARGET, None if mapping is None else parse_mapping(mapping, TARGET.fields), lambda: USUAL)


def told(found: Sheet) -> list[list[str]]:
    return [[str(error) for error in row.errors] for row in found.rows]


def amounts(found: Sheet) -> list[str]:
    return [str(getattr(row.input, "amount", row.errors or row.skipped)) for row in found.rows]


def of(*table: Sequence[Cell], styles: Sequence[str] = (), before: str = "", behind: str = "", **about: Any) -> bytes:
    return book({"S": sheet(rows(table, **about), before, behind)}, {"xl/styles.xml": styles_of(*styles)})


def text_of(code: str, stored: str) -> str:
    shown = general(stored) if code == "General" else format_of(code)(stored)
    return shown if isinstance(shown, str) else shown.text


SHOWN = {
    ("General", "192.29999999999998"): "192.3",
    ("0.00", "192.29999999999998"): "192.30",
    ("General", "0.1"): "0.1",
    ("General", "1499.9999999999998"): "1500",
    ("00000", "42"): "00042",
    ("000000000", "1234567"): "001234567",
    ('"INV-"00000', "42"): "INV-00042",
    ("000-000", "1042"): "001-042",
    ("00000-0000", "123456789"): "12345-6789",
    ("0%", "0.15"): "15%",
    ("#,##0.00", "1234.5"): "1234.50",
    ("[$EUR] #,##0.00", "12.5"): "12.50 EUR",
    ("#,##0.00 [$€-407]", "12.5"): "12.50 EUR",
    ("[$£-809]#,##0.00", "12.5"): "12.50 GBP",
    ("[$$-409]#,##0.00", "12.5"): "12.50 USD",
    ("[$$-1009]#,##0.00", "12.5"): "12.50 CAD",
    ("[$¥-411]#,##0", "1500"): "1500 JPY",
    ('"$"#,##0.00', "12.5"): "$12.50",
    ('_-* #,##0.00\\ "€"_-;\\-* #,##0.00\\ "€"_-;_-* "-"??\\ "€"_-;_-@_-', "-12.5"): "-12.50 EUR",
    ("#,##0.00;(#,##0.00)", "-12.5"): "-12.50",
    ('#,##0.00;#,##0.00"CR"', "-12.5"): "-12.50",
    ("0.00##", "2.5"): "2.50",
    ("dd/mm/yyyy", "46478"): "2027-04-01",
    ("[$-F800]dddd\\,\\ mmmm\\ dd\\,\\ yyyy", "46478"): "2027-04-01",
    ("yyyy-mm-dd hh:mm", "46478.375"): "2027-04-01 09:00:00",
    ("hh:mm", "0.375"): "09:00:00",
    ("[h]:mm", "1.5"): "36:00:00",
    ("@", "42"): "42",
    ("0.00E+00", "46281108"): "46281108",
}


@pytest.mark.parametrize(("code", "stored"), SHOWN)
def test_a_number_is_read_as_its_cell_shows_it(code: str, stored: str) -> None:
    assert text_of(code, stored) == SHOWN[code, stored]


@pytest.mark.parametrize(
    ("code", "stored", "shows"),
    [("0", "12.5", "13"), ("#,##0", "1234.56", "1235"), (";;;", "5", "nothing"), ("#,##0,", "1234567", "1235")],
)
@pytest.mark.parametrize("head", [THEIRS, PLAIN])
def test_a_cell_that_hides_a_part_of_its_number_is_invalid_and_named(
    code: str, stored: str, shows: str, head: Sequence[Cell]
) -> None:
    ((error,),) = told(read(of(head, ["1", "Acme", styled(stored, 1), "GBP", "x"], styles=[code])))
    assert f"the cell C2 shows {shows} and holds {stored}" in error


def test_more_decimals_than_shown_are_rounded_as_shown_with_a_note() -> None:
    found = read(of(HEAD, ["1", "Acme", styled("3.3333333333333335", 1)], styles=["0.00"]))
    assert amounts(found) == ["3.33"]
    assert "C2 holds more decimals than the workbook shows: read as shown" in found.notes


def test_what_computing_leaves_over_is_not_a_decimal() -> None:
    assert amounts(read(of(HEAD, ["1", "Acme", 192.29999999999998]))) == ["192.30"]
    assert amounts(read(of(PLAIN, ["1", "Acme", 192.29999999999998, "GBP", "x"]))) == ["192.30"]


@given(st.integers(1, 10**11), st.sampled_from(["0.00", "#,##0.00", "General"]))
def test_every_amount_that_a_spreadsheet_computes_in_cents_is_read_exactly(cents: int, code: str) -> None:
    text = text_of(code, repr(cents * 0.01))
    assert round(float(text) * 100) == cents and len(text.partition(".")[2]) <= 2


def test_zeros_of_a_format_are_a_part_of_a_reference() -> None:
    assert [row.reference for row in read(of(HEAD, [styled(42, 1), "Acme", 1], styles=["00000"])).rows] == ["00042"]


# ----------------------------------------------------------------------------------------------------------- currencies


@pytest.mark.parametrize(
    ("code", "currency", "problem"),
    [
        ("[$EUR] #,##0.00", "EUR", ""),
        ("[$EUR] #,##0.00", "GBP", "says EUR, and the currency is GBP"),
        ("#,##0.00 [$€-407]", "GBP", "says EUR, and the currency is GBP"),
        ("£#,##0.00", "EUR", "says GBP, and the currency is EUR"),
        ('"$"#,##0.00', "USD", ""),
        ('"$"#,##0.00', "CAD", ""),
        ('"$"#,##0.00', "GBP", "says USD"),
        ("[$$-409]#,##0.00", "CAD", "says USD, and the currency is CAD"),
        ("#,##0.00", "GBP", ""),
    ],
)
@pytest.mark.parametrize("head", [THEIRS, PLAIN])
def test_a_currency_in_the_format_of_a_cell_must_not_contradict_its_row(
    code: str, currency: str, problem: str, head: Sequence[Cell]
) -> None:
    (row,) = read(of(head, ["1", "Acme", styled("12.5", 1), currency, "x"], styles=[code])).rows
    assert [problem in str(error) for error in row.errors] == ([True] if problem else []), row.errors


def test_a_currency_in_the_format_wins_over_the_usual_one_or_is_a_question() -> None:
    euros = read(of(HEAD, ["1", "Acme", styled("12.5", 1)], styles=["[$EUR] #,##0.00"]))
    assert [getattr(row.input, "currency", None) for row in euros.rows] == ["EUR"]
    mixed = read(of(HEAD, ["1", "A", styled("12.5", 1)], ["2", "B", 5], styles=["[$EUR] #,##0.00"]))
    assert told(mixed) == [["Amount: '12.50 EUR' says EUR, and the currency is GBP"], []]
    dollars = read(of(HEAD, ["1", "Acme", styled("12.5", 1)], styles=['"$"#,##0.00']))
    assert all(row.errors for row in dollars.rows)


def test_yen_with_decimals_in_the_format_are_yen() -> None:
    for head in (PLAIN, THEIRS):
        assert amounts(read(of(head, ["1", "Acme", styled(1500, 1), "JPY", "x"], styles=["0.00"]))) == ["1500"]


def test_bad_rows_come_back_as_they_were_shown() -> None:
    data = of(PLAIN, [styled(42, 2), "", styled("12.5", 1), "EUR", "x"], styles=["[$EUR] #,##0.00", "00000"])
    back = bad_rows(data, {2: "no payee"}, read(data).format.model_dump(mode="json"))
    assert "no payee,00042,,12.50 EUR,EUR,x" in back


# ------------------------------------------------------------------------------------------------------------- mistakes

ERRORS = ["#N/A", "#REF!", "#DIV/0!", "#VALUE!", "#NAME?", "#SPILL!", "#NV", "#BEZUG!", "whatever"]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("head", [THEIRS, PLAIN])
def test_an_error_cell_is_invalid_with_the_cell_named(error: str, place: int, head: Sequence[Cell]) -> None:
    cells: list[Cell] = ["1", "Acme", 5, "GBP", "x"]
    cells[place] = styled(error, kind="e")
    (row,) = read(of(head, cells)).rows
    assert row.input is None
    assert f"the cell {'ABC'[place]}2 holds the error {error}" in " ".join(map(str, row.errors))


ANY_LANGUAGE = [
    "#N/A",
    "#NV",
    "#BEZUG!",
    "#VALEUR!",
    "#¡REF!",
    "#RIF!",
    "#N/D",
    "#Н/Д",
    "#DZIEL/0!",
    "########",
    "Err:502",
]


@pytest.mark.parametrize("error", ANY_LANGUAGE)
@pytest.mark.parametrize(
    "head", ["Invoice No,Supplier,Amount,Currency,Account", "reference,payee,amount,currency,account"]
)
def test_an_error_as_text_is_no_payee_in_any_language(error: str, head: str) -> None:
    (row,) = read(f"{head}\n1,{error},5,GBP,x\n".encode()).rows
    assert row.input is None and "is a spreadsheet error" in str(row.errors[0])


def test_an_error_in_an_optional_column_is_invalid_and_in_one_that_nobody_reads_is_not() -> None:
    bad = styled("#REF!", kind="e")
    first, second = read(of((*HEAD, "Narrative", "Cost centre"), ["1", "A", 5, bad, ""], ["2", "B", 5, "", bad])).rows
    assert "the cell D2 holds the error #REF!" in str(first.errors[0]) and second.input


def test_a_formula_counts_by_its_saved_value_and_is_invalid_without_one() -> None:
    saved = Cells('<c r="{place}" s="1"><f>A1*2</f><v>12.5</v></c>')
    assert amounts(read(of(HEAD, ["1", "Acme", saved], styles=["0.00"]))) == ["12.50"]
    ((error,),) = told(read(of(HEAD, ["1", "Acme", Cells('<c r="{place}"><f>SUM(A1:A9)</f></c>')])))
    assert "C2 contains a formula without a result" in error


def test_a_value_over_merged_rows_is_not_repeated_nor_lost() -> None:
    behind = '<mergeCells count="1"><mergeCell ref="C2:C3"/></mergeCells>'
    first, second = read(of(HEAD, ["1", "A", 5], ["2", "B"], behind=behind)).rows
    assert first.input is not None
    assert "C3 is part of the merged cells C2:C3" in str(second.errors[0])


def test_a_merged_title_does_no_harm() -> None:
    behind = '<mergeCells count="1"><mergeCell ref="A1:C1"/></mergeCells>'
    assert amounts(read(of(["Payments of June"], HEAD, ["1", "A", 5], behind=behind))) == ["5.00"]


# --------------------------------------------------------------------------------------------------------------- hidden


def shown(found: Sheet) -> list[str]:
    return [f"{row.line} {row.skipped or row.reference}" for row in found.rows]


@pytest.mark.parametrize("attribute", ['hidden="1"', 'hidden="true"', 'ht="0" customHeight="1"'])
@pytest.mark.parametrize("head", [THEIRS, PLAIN])
def test_hidden_rows_are_ignored_counted_and_reported(attribute: str, head: Sequence[Cell]) -> None:
    table = [[n, "A", 5, "GBP", "x"] for n in ("1", "2", "3")]
    data = of(head, *table, about={3: attribute})
    found = read(data)
    assert shown(found) == ["2 1", "3 hidden in the workbook", "4 3"]
    assert any(note.startswith("1 hidden row is skipped, from line 3 on") for note in found.notes)
    assert [row.reference for row in read(data, {"hidden": "read"}).rows] == ["1", "2", "3"]


def test_rows_that_a_filter_hides_are_left_out() -> None:
    column = '<filterColumn colId="1"><filters><filter val="A"/></filters></filterColumn>'
    behind = f'<autoFilter ref="A1:C3">{column}</autoFilter>'
    found = read(of(HEAD, ["1", "A", 5], ["2", "B", 5], about={3: 'hidden="1"'}, behind=behind))
    assert shown(found) == ["2 1", "3 hidden by a filter of the workbook"]


def test_hidden_rows_do_not_say_how_the_others_are_read() -> None:
    table = [(*HEAD, "Payment Due"), ["1", "A", "1,500", "01/02/2027"], ["2", "B", "12,50", "25/12/2027"]]
    found = read(of(*table, about={3: 'hidden="1"'}))
    assert found.mapping is not None and found.mapping.decimal == "either"
    assert len(found.mapping.dates["due_date"]) == 2


def test_hidden_columns_are_ignored_and_reported() -> None:
    data = of((*HEAD, "Narrative"), ["1", "A", 5, "secret"], before='<cols><col min="4" max="4" hidden="1"/></cols>')
    found = read(data)
    assert [getattr(row.input, "memo", None) for row in found.rows] == [""]
    assert "hidden columns are not read: 'Narrative'" in found.notes
    assert [getattr(row.input, "memo", None) for row in read(data, {"hidden": "read"}).rows] == ["secret"]
    assert "secret" not in bad_rows(data, {2: "x"}, found.format.model_dump(mode="json"))


def test_a_hidden_column_that_is_needed_is_missing() -> None:
    with pytest.raises(UnreadableFile, match="missing: amount"):
        read(of(HEAD, ["1", "A", 5], before='<cols><col min="3" max="3" hidden="1"/></cols>'))


# --------------------------------------------------------------------------------------------------------------- sheets

COVER = sheet(rows([["Payments"], ["Prepared by", "Finance"], ["Date", "1 June"]]))
JUNE = sheet(rows([HEAD, ["1", "Acme", 5]]))
JULY = sheet(rows([HEAD, ["7", "Acme", 5]]))


def test_a_cover_sheet_does_not_hide_the_table() -> None:
    found = read(book({"Cover": COVER, "June": JUNE, "July": JULY}))
    assert (found.format.sheet, found.format.ignored_sheets) == ("June", ("Cover", "July"))
    assert [row.reference for row in found.rows] == ["1"]


def test_a_sheet_can_be_named_and_a_wrong_one_lists_all() -> None:
    data = book({"Cover": COVER, "June": JUNE, "July": JULY})
    assert [row.reference for row in read(data, {"sheet": "july"}).rows] == ["7"]
    with pytest.raises(WrongMapping) as wrong:
        read(data, {"sheet": "August"})
    assert [(each.column, each.message) for each in wrong.value.problems] == [
        ("sheet", "the workbook has no sheet 'August'. Choose one of: 'Cover', 'June', 'July'")
    ]
    with pytest.raises(UnreadableFile, match="the sheet 'Cover' was read; name another as 'sheet': 'June'"):
        read(data, {"sheet": "Cover"})


def test_a_hidden_sheet_is_read_by_its_name_only() -> None:
    data = book({"Old": JUNE, "New": JULY}, hidden=["Old"])
    assert read(data).format.sheet == "New"
    assert "the sheet 'Old' is hidden in the workbook and is read" in read(data, {"sheet": "Old"}).notes
    with pytest.raises(UnreadableFile, match="only hidden sheets have content: 'Old'"):
        read(book({"Old": JUNE, "Cover": sheet("")}, hidden=["Old"]))


def test_a_look_lists_the_sheets_and_says_what_is_hidden() -> None:
    seen = look(book({"Cover": COVER, "June": JUNE}), TARGET)
    assert (seen.sheets, seen.sheet, seen.hides) == (("Cover", "June"), "June", False)
    assert look(of(HEAD, ["1", "A", 5], ["2", "B", 5], about={3: 'hidden="1"'}), TARGET).hides


# ------------------------------------------------------------------------------------------------------- odd workbooks


def test_rich_text_and_escapes_are_read() -> None:
    shared = (
        f'<x:sst xmlns:x="{MAIN}"><x:si><x:r><x:t>Ac</x:t></x:r><x:r><x:t>me_x0041_</x:t></x:r>'
        "<x:rPh><x:t>spoken</x:t></x:rPh></x:si></x:sst>"
    )
    data = book({"S": sheet(rows([HEAD, ["1", styled(0, kind="s"), 5]]))}, {"xl/sharedStrings.xml": shared})
    assert [getattr(row.input, "payee", None) for row in read(data).rows] == ["AcmeA"]


def test_days_since_1904_are_known() -> None:
    listed = '<workbookPr date1904="1"/><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets>'
    inside = rows([(*HEAD, "Payment Due"), ["1", "A", 5, styled(46478 - 1462, 1)]])
    more = {"xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}">{listed}</workbook>'}
    found = read(book({"S": sheet(inside)}, {**more, "xl/styles.xml": styles_of("dd/mm/yyyy")}))
    assert [str(getattr(row.input, "due_date", row.errors)) for row in found.rows] == ["2027-04-01"]


@pytest.mark.parametrize(
    "inside",
    [
        '<row r="2"><c r="A2"><v>1</v></c></row><row r="1"><c r="A1"><v>1</v></c></row>',
        '<row r="1"><c r="B1"><v>1</v></c><c r="A1"><v>1</v></c></row>',
        '<row r="1"><c r="A7"><v>1</v></c></row>',
        '<row r="1"><c r="A1"><v>one</v></c></row>',
        '<row r="1"><c r="A1" t="s"><v>9</v></c></row>',
        '<row r="x"><c r="A1"><v>1</v></c></row>',
    ],
)
def test_a_sheet_that_no_program_writes_is_refused(inside: str) -> None:
    with pytest.raises(UnreadableFile, match="damaged"):
        read(book({"S": sheet(inside)}))


@given(st.text('0#?.,;%_*"\\[]$€-@/EeGdmyhs+ x', max_size=20), st.floats(allow_nan=False, allow_infinity=False))
def test_any_format_shows_any_number(code: str, number: float) -> None:
    assert isinstance(text_of(code, repr(number)), str)


@pytest.mark.parametrize("value", ["<v></v>", "<v/>", ""])
def test_a_formula_without_a_stored_result_is_reported_everywhere(value: str) -> None:
    """openpyxl writes the empty value; an optional field would be dropped without a word."""
    due = Cells(f'<c r="{{place}}"><f>TODAY()+30</f>{value}</c>')
    (row,) = read(of((*HEAD, "Due date"), ("A", "Acme", 12, due))).rows
    assert "D2 contains a formula without a result" in str(row.errors)
    empty = Cells('<c r="{place}" t="str"><f>IF(1=1,"","")</f><v></v></c>')  # computed: a blank
    assert [row.input is not None for row in read(of((*HEAD, "Due date"), ("A", "Acme", 12, empty))).rows] == [True]


def test_what_is_missing_because_it_is_hidden_is_named() -> None:
    columns = '<cols><col min="2" max="2" width="9" hidden="1"/></cols>'
    with pytest.raises(UnreadableFile, match=r"missing: payee.*the workbook hides the columns 'Supplier'"):
        read(of(HEAD, ("A", "Acme", 12), before=columns))


def test_a_cell_is_named_once_whatever_is_read_from_it() -> None:
    found = read(of(HEAD, ("A", "Acme", styled("0.285", 1)), styles=('#,##0.00 "EUR"',)))
    assert [note for note in found.notes if "C2" in note] == [
        "C2 holds more decimals than the workbook shows: read as shown"
    ]
