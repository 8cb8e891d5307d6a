"""Column mappings: given, saved or suggested, and how their cells are read."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intake.cells.parse_cells import Marks, Misread, amount_of, date_of, decimal_in, formats_in, strptime_of
from intake.mapping.column_mapping import SIGNS, ColumnMapping, WrongMapping, check_constants, parse_mapping
from intake.mapping.mapping_choice import target_of
from intake.mapping.saved_mappings import SavedMappings, as_toml
from intake.parse_rows import ParsedRow, Sheet
from intake.read_file import read_file
from intake.tables.open_table import UnreadableFile
from tests.intake.workbooks import workbook
from workflows.registry import PROCESSES

TARGET = target_of(PROCESSES["payment"])
USUAL = {"account": "operating", "currency": "GBP"}
EITHER = Marks(signs=tuple(SIGNS.items()))


def read(data: str | bytes, mapping: Mapping[str, Any] | None = None) -> Sheet:
    parsed = None if mapping is None else parse_mapping(mapping, TARGET.fields)
    return read_file(data.encode() if isinstance(data, str) else data, TARGET, parsed, lambda: USUAL)


def told(row: ParsedRow) -> list[str]:
    return [str(error) for error in row.errors]


def inputs(sheet: Sheet) -> list[dict[str, Any]]:
    return [row.input.model_dump(mode="json", exclude_defaults=True) if row.input else {} for row in sheet.rows]


def refused(mapping: Any, data: str = "Doc,Sup,Sum of it\n1,A,2\n") -> list[str]:
    with pytest.raises(WrongMapping) as wrong:
        read(data, mapping)
    return [f"{each.column}: {each.message}" for each in wrong.value.problems]


# ------------------------------------------------------------------------------------------------------------ suggested


@pytest.mark.parametrize(
    ("head", "columns"),
    [
        ("Trans No,Supplier Name,Amount", ["Trans No", "Supplier Name", "Amount"]),
        ("TransNo,SUPPLIER_NAME,NetAmount", ["TransNo", "SUPPLIER_NAME", "NetAmount"]),
        ("Transaction Number,Beneficiary,Net Amount", ["Transaction Number", "Beneficiary", "Net Amount"]),
        ("Trans. No. ,Suplier Name ,Amount (£)", ["Trans. No.", "Suplier Name", "Amount (£)"]),
        ("Invoice Ref,Creditor Name,Sum of Amount", ["Invoice Ref", "Creditor Name", "Sum of Amount"]),
        ("Doc Number,Vendor,Net Amt (excl. VAT)", ["Doc Number", "Vendor", "Net Amt (excl. VAT)"]),
        ("OUR REF,Supplier (Payee),Gross £", ["OUR REF", "Supplier (Payee)", "Gross £"]),
        ("Reference,Merchant,Value", ["Reference", "Merchant", "Value"]),
    ],
)
def test_columns_are_suggested_by_their_names(head: str, columns: list[str]) -> None:
    sheet = read(f"Body Name,{head},Paid Date,Supplier ID\nOCC,T-1,Acme,12.50,01/02/2027,7\n")
    assert sheet.mapping is not None
    assert [sheet.mapping.columns[name] for name in ("reference", "payee", "amount")] == [(each,) for each in columns]
    assert sheet.ignored_columns == ["Body Name", "Paid Date", "Supplier ID"]
    assert inputs(sheet) == [{"payee": "Acme", "amount": "12.50", "currency": "GBP", "account": "operating"}]


def test_each_choice_is_told() -> None:
    head = "Suplier Name,Invoice No,Our Ref,Net Amount,Gross Amount,VAT Amount,Narrative,Payment Due"
    sheet = read(f"Spending of June\n\n{head}\nAcme,1,x,10,10.00,0,Paper,31/12/2027\n")
    assert sheet.notes == [
        "1 line above the headings was left out",
        "'Invoice No' stands for reference",
        "'Our Ref' could stand for reference too, but 'Invoice No' is read as reference",
        "'Suplier Name' stands for payee, as it is close to 'supplier name'",
        "'Net Amount' stands for amount",
        "'Gross Amount' could stand for amount too, but 'Net Amount' is read as amount",
        "'Payment Due' stands for due_date",
        "'Narrative' stands for memo",
        "usual value: account = operating",
        "usual value: currency = GBP",
        "dates in 'Payment Due' are read as DD/MM/YYYY",
    ]
    assert (sheet.format.heading_line, next(iter(sheet.rows)).line) == (3, 4)


@pytest.mark.parametrize("heading", ["Supplier ID", "Payer Name", "Supplier Type", "Account Number", "Editor"])
def test_no_column_is_taken_for_what_it_is_only_nearly_called(heading: str) -> None:
    with pytest.raises(UnreadableFile, match="missing: payee"):
        read(f"Trans No,{heading},Amount\n1,2,3\n")


def test_the_day_of_the_payment_is_not_the_day_on_which_it_is_due() -> None:
    sheet = read("Trans No,Supplier,Amount,Paid Date,Invoice Date,Date\n1,A,2,01/02/2027,01/02/2027,01/02/2027\n")
    assert sheet.mapping is not None and "due_date" not in sheet.mapping.columns


def test_a_column_whose_cells_do_not_fit_is_ignored_and_reported() -> None:
    sheet = read("Trans No,Supplier,Amount,Due\n1,A,2,00:00:00\n")
    assert "'Due' could stand for due_date, but the column has no dates" in sheet.notes
    with pytest.raises(UnreadableFile, match="missing: amount"):
        read("Trans No,Supplier,Amount\n1,A,yes\n")


def test_the_currency_is_the_one_in_the_heading_or_beside_each_amount() -> None:
    assert inputs(read("Trans No,Supplier,Amount (€)\n1,A,2\n"))[0]["currency"] == "EUR"
    beside = read("Trans No,Supplier,Amount\n1,A,€2\n2,A,3.00 GBP\n")
    assert [each["currency"] for each in inputs(beside)] == ["EUR", "GBP"]
    (_, wrong) = read("Trans No,Supplier,Amount\n1,A,2\n2,A,€2\n").rows
    assert told(wrong) == ["Amount: '€2' says EUR, and the currency is GBP"]


def test_references_in_several_rows_are_reported_with_a_way_out() -> None:
    body = "1,A,2,x,N1\n1,A,3,x,N2\n2,A,3,x,N1\n"
    assert (
        "1 values of 'Trans No' stand in several rows; a mapping can tell them apart: "
        'reference = "{Trans No}/{Line}"' in read(f"Trans No,Supplier,Amount,Type,Line\n{body}").notes
    )


def test_fields_that_nothing_stands_for_refuse_the_file_with_what_was_found() -> None:
    with pytest.raises(UnreadableFile) as wrong:
        read_file(b"Trans No,Supplier\n1,A\n", TARGET)
    assert str(wrong.value) == (
        "line 1: these headings are missing: amount, currency, account. Found: 'Trans No', 'Supplier'; "
        "give a mapping that names the column of each field, or one value for all rows"
    )


def test_a_file_whose_headings_are_the_fields_is_read_by_them_alone() -> None:
    sheet = read("reference,payee,amount,currency,account,Supplier\nTOTAL,A,£2,GBP,x,B\n")
    assert (sheet.mapping, sheet.notes, sheet.ignored_columns) == (None, [], ["Supplier"])
    assert [each.column for row in sheet.rows for each in row.errors] == ["amount"]


THEIRS = "Title\n\nTrans No,Supplier Name,Amount,Payment Due,Priority,start_at\n"
their_rows = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "Total", "", "4.63E+07", "Trans No"]),
        st.sampled_from(["Acme", "", "Supplier Name"]),
        st.sampled_from(["1", "1.5", "1,5", '"1,500"', "£2", "(3.00)", "x", "", "Amount"]),
        st.sampled_from(["01/02/2027", "13/02/2027", "02/13/2027", "", "2027-02-01"]),
        st.sampled_from(["", "1", "9"]),
        st.sampled_from(["", "2027-01-01", "soon"]),
    ).map(",".join),
    min_size=1,
    max_size=8,
)


@given(their_rows | st.lists(st.sampled_from(["", ",,,,,", "1,A", "1,Acme,2,,,"]), min_size=1))
def test_the_mapping_that_was_suggested_reads_the_same_when_it_is_given(lines: list[str]) -> None:
    data = (THEIRS + "\n".join(lines)).encode()
    try:
        first = read(data)
    except UnreadableFile:
        return
    assert first.mapping is not None
    again = read_file(data, TARGET, parse_mapping(first.mapping.model_dump(mode="json"), TARGET.fields))
    assert list(again.rows) == list(first.rows)
    assert (again.mapping, again.format, again.ignored_columns) == (first.mapping, first.format, first.ignored_columns)
    kinds = [(bool(row.input), bool(row.errors), bool(row.skipped)) for row in first.rows]
    assert all(sum(kind) == 1 for kind in kinds)
    assert first.count + first.blank == len(kinds) + first.blank == len(data.decode().splitlines()) - 3


# ---------------------------------------------------------------------------------------------------------------- given


def test_a_mapping_says_columns_constants_dates_marks_and_what_is_no_row() -> None:
    sheet = read(
        "Doc;Line;Sup;Amt;When\n7;1;Acme;1.500,25;1.2.27\n7;2;Acme;-3;\n"
        ";;Grand total;1.497,25;\nDoc;Line;Sup;Amt;When\n",
        {
            "columns": {
                "reference": "{doc}/{LINE}",
                "payee": ["Supplier", " sup "],
                "amount": "Amt",
                "due_date": "When",
            },
            "constants": {"currency": "EUR", "account": "petty"},
            "dates": {"due_date": "DD.MM.YY"},
            "decimal": ",",
            "negative": "skip",
        },
    )
    first, credit, total, headings = sheet.rows
    assert first.reference == "7/1"
    assert inputs(sheet)[0] == {
        "payee": "Acme",
        "amount": "1500.25",
        "currency": "EUR",
        "account": "petty",
        "due_date": "2027-02-01",
    }
    assert [row.skipped for row in (credit, total, headings)] == [
        "a credit note: the amount is -3",
        "a total: Grand total",
        "the headings again",
    ]
    assert not any(row.input or row.errors for row in (credit, total, headings))


def test_a_mapping_without_columns_goes_with_the_suggested_ones() -> None:
    (row,) = read("Trans No,Supplier,Amount\n1,A,-2\n", {"negative": "skip"}).rows
    assert row.skipped
    assert inputs(read("Trans No,Supplier,Amount\n1,A,2\n", {"constants": {"currency": "EUR"}}))[0]["currency"] == "EUR"


def test_an_error_names_line_column_value_and_what_is_expected() -> None:
    row, _ = read("Trans No,Supplier,Amount ,Payment Due\n1,A,(500.00),31/02/2027\n2,A,1,31/12/2027\n").rows
    due, amount = row.errors
    assert (row.line, due.column, due.value) == (2, "Payment Due", "31/02/2027")
    assert due.expected == "a date written as DD/MM/YYYY"
    assert (amount.column, amount.value, amount.expected) == ("Amount", "(500.00)", "an amount is more than 0")


def test_a_bank_account_is_repeated_by_its_last_four_only() -> None:
    (row,) = read("Trans No,Supplier,Amount,IBAN\n1,A,2,GB00WEST12345698765432\n").rows
    assert told(row) == ["IBAN: '…5432': not a valid IBAN: check its length and its check digits"]
    assert row.errors[0].value == "…5432"


def test_a_part_of_a_reference_that_is_blank_is_said() -> None:
    mapping = {"columns": {"reference": "{Doc}-{Line}", "payee": "Sup", "amount": "Amt"}}
    first, second = read("Doc,Line,Sup,Amt\n7,,A,1\n,,A,1\n", mapping).rows
    assert told(first) == ["{Doc}-{Line}: the column 'Line', which is a part of it, is blank"]
    assert "enter a reference" in told(second)[0]


def test_blank_cells_behind_the_last_heading_are_no_cells() -> None:
    first, second, third = read("Trans No,Supplier,Amount,,\n1,A,2,,,,\n2,A,2\n3,A,2,,,x\n").rows
    assert first.input and second.input
    assert told(third) == ["too many cells: 6 for 5 headings"]


def test_a_workbook_is_read_with_a_mapping_too() -> None:
    sheet = read(workbook(["Payments"], ["Trans No", "Supplier", "Amount"], [7.0, "Acme", 1500.0], [], [8, "B", 2.5]))
    assert [(row.line, row.reference) for row in sheet.rows] == [(3, "7"), (5, "8")]
    assert [each["amount"] for each in inputs(sheet)] == ["1500.00", "2.50"]
    assert (sheet.blank, sheet.count + sheet.blank) == (1, 3)


def test_a_row_may_say_when_it_starts_and_how_urgent_it_is() -> None:
    plain = read("reference,payee,amount,currency,account,start_at,priority\n1,A,2,GBP,x,2027-01-01T09:00:00+01:00,2\n")
    theirs = read("Trans No,Supplier,Amount,Scheduled_Time\n1,A,2,2027-01-01 08:00\n")
    for sheet in (plain, theirs):
        (row,) = sheet.rows
        assert row.start_at is not None and row.start_at.isoformat() in (
            "2027-01-01T09:00:00+01:00",
            "2027-01-01T08:00:00+00:00",
        )
    assert next(iter(plain.rows)).priority == 2


WRONG: list[tuple[Any, list[str]]] = [
    ({"colums": {}}, ["colums: is not a key of a mapping; is 'columns' meant?"]),
    ({"columns": {"payeee": "Sup"}}, ["columns.payeee: is not a field of this process; is 'payee' meant?"]),
    ({"dates": {"due": "DD/MM/YYYY"}}, ["dates.due: is not a field of this process; is 'due_date' meant?"]),
    ({"columns": {"payee": []}}, ["columns.payee: name at least one column"]),
    (
        {"columns": {"payee": "Sup", "amount": "Sum off it", "reference": "{Dok}/{Sup}"}},
        [
            "columns.amount: the file has no column 'Sum off it'; is 'Sum of it' meant?",
            "columns.reference: the file has no column '{Dok}/{Sup}'; is 'Doc' meant?",
        ],
    ),
    (
        {"columns": {"payee": "Sup"}, "constants": {"payee": "x"}},
        ["constants.payee: has a column and a constant: remove one of them"],
    ),
    (
        {"constants": {"currency": "GPB"}},
        ["constants.currency: 'GPB' is not an ISO 4217 currency code such as GBP, EUR or USD"],
    ),
    ({"dates": "DD/YY"}, ["dates: 'DD/YY' does not have day, month and year. Use YYYY, MM and DD, such as DD/MM/YYYY"]),
    ({"negative": "no"}, ["negative: 'no' is not one of 'refuse' or 'skip'"]),
    ("[]", [": must be a JSON object, or the name of a saved mapping"]),
]


@pytest.mark.parametrize(("mapping", "problems"), WRONG, ids=lambda each: str(each)[:30])
def test_a_mapping_that_cannot_be_used_is_refused_by_its_keys(mapping: Any, problems: list[str]) -> None:
    assert refused(mapping) == problems


def test_a_constant_against_the_heading_is_refused() -> None:
    assert refused({"constants": {"currency": "EUR"}}, "Trans No,Supplier,Amount (£)\n1,A,2\n") == [
        "constants.currency: 'EUR', but the heading 'Amount (£)' says GBP"
    ]


# ---------------------------------------------------------------------------------------------------------------- cells

AMOUNTS = {
    "12.50": "12.50",
    "£1,500.00": "1500.00 GBP",
    "1.500,00 €": "1500.00 EUR",
    "GBP 1,500.00": "1500.00 GBP",
    "12 eur": "12 EUR",
    "(500.00)": "-500.00",
    "(£500.00)": "-500.00 GBP",
    "500.00-": "-500.00",
    "-£5": "-5 GBP",
    "£-5": "-5 GBP",
    "−5": "-5",
    "500.00 CR": "-500.00",
    "1 500,5": "1500.5",
    "1'500.25": "1500.25",
    "1,234,567": "1234567",
    "'-5.00": "-5.00",
    ".5": "0.5",
    "-0.00": "0.00",
    "1,500": "may be 1500 or 1.500: set the decimal separator in the mapping",
    "1,23.4": "is not a number",
    "--5": "is not a number",
    "1e5": "is not a number",
    "£": "is not a number",
    "١٢": "is not a number",
    "$5": "has the sign of several currencies: set the currency in the mapping, such as currency_signs $ = USD",
}


@pytest.mark.parametrize("cell", AMOUNTS)
def test_an_amount_is_read_as_people_write_it_or_refused(cell: str) -> None:
    try:
        read = amount_of(cell, EITHER)
    except Misread as misread:
        assert str(misread) == AMOUNTS[cell]
        return
    assert f"{read.text} {read.currency or ''}".strip() == AMOUNTS[cell]


def test_a_given_decimal_mark_is_certain() -> None:
    assert amount_of("1,500", Marks(".")).text == "1500"
    assert amount_of("1,500", Marks(",")).text == "1.500"
    assert amount_of("$5", Marks(".", signs=(("$", "USD"),))).currency == "USD"
    for cell in ("1,500", "1 500"):
        with pytest.raises(Misread, match="is not a number with"):
            amount_of(cell, Marks(".", "none"))


@given(st.decimals(0, 10**12, places=2), st.sampled_from([(".", ","), (",", ".")]), st.booleans())
def test_what_is_written_with_marks_is_read_back(value: Any, marks: tuple[Any, str], negative: bool) -> None:
    text = f"{value:,.2f}".replace(",", "\0").replace(".", marks[0]).replace("\0", marks[1])
    read = amount_of(f"({text})" if negative else text, Marks(marks[0]))
    assert read.text == f"{'-' if negative and value else ''}{value:.2f}"


def test_the_decimal_mark_follows_from_the_cells_of_the_column() -> None:
    assert decimal_in(["1,500", "12.5"], EITHER) == "."
    assert decimal_in(["1.500", "12,5"], EITHER) == ","
    assert decimal_in(["7", "1500"], EITHER) == "."
    assert decimal_in(["1,500"], EITHER) == "either"
    assert decimal_in(["12,5", "12.5"], EITHER) == "either"


def test_the_order_of_dates_is_the_one_that_fits_the_column() -> None:
    assert formats_in(["01/02/2027", "25/12/2027"]) == ("DD/MM/YYYY",)
    assert formats_in(["01/02/2027", "12/25/2027"]) == ("MM/DD/YYYY",)
    assert formats_in(["01/02/2027", "03/03/2027"]) == ("DD/MM/YYYY", "MM/DD/YYYY")
    assert formats_in(["2027-02-01 00:00:00", "2027-02-03"]) == ("YYYY-MM-DD",)
    assert formats_in(["00:00:00", "soon"]) == ()


@pytest.mark.parametrize(
    "written",
    [
        *("31. März 2027", "31. Mrz. 2027", "31 mars 2027", "31 de marzo de 2027", "31-mar-2027", "31 marzo 2027"),
        *("31 de março de 2027", "31 maart 2027", "31 mrt 2027", "31 marca 2027", "31. března 2027", "31 марта 2027"),
        *("2027年3月31日", "2027年03月31日", "2027년 3월 31일", "31st March 2027", "March 31, 2027", "31-MAR-27"),
        *("31/03/2027 09:30", "2027-03-31T09:30:00", "3/31/2027 12:00:00 AM", "2027-03-31T00:00:00Z"),
    ],
)
def test_a_day_is_read_as_people_write_it(written: str) -> None:
    (row,) = read(f'Trans No;Supplier;Amount;Due\n1;A;2;"{written}"\n').rows
    assert row.input is not None, row.errors
    assert row.input.model_dump(mode="json")["due_date"] == "2027-03-31"


def test_a_time_of_another_zone_may_be_another_day() -> None:
    sheet = read("Trans No;Supplier;Amount;Due\n1;A;2;2027-03-31\n2;A;2;2027-03-31T23:00:00Z\n")
    assert [bool(row.errors) for row in sheet.rows] == [False, True]


def test_a_date_that_may_be_two_is_none() -> None:
    both = ("DD/MM/YYYY", "MM/DD/YYYY")
    assert date_of("3/3/2027", both) == "2027-03-03"
    assert date_of("25/12/2027", both) == "2027-12-25"
    with pytest.raises(Misread, match="may be 2 January 2027 or 1 February 2027"):
        date_of("01/02/2027", both)


def test_formats_are_those_of_people_or_of_python() -> None:
    assert strptime_of("DD/MM/YYYY") == "%d/%m/%Y"
    assert strptime_of("D MMM YY") == "%d %b %y"
    assert strptime_of("%d.%m.%Y") == "%d.%m.%Y"
    for wrong in ("MM/YYYY", "%H", "date", "%", "DD/DD/YYYY", "%d%d%m%Y", "%q", "DD/MM/YYYY" * 2):
        with pytest.raises(ValueError, match=f"'{wrong}'"):
            strptime_of(wrong)


@given(st.text(alphabet="%dmYyHIpbBDMY/-. ()[*\\\0\ud800", max_size=20))
def test_any_text_is_a_date_format_or_an_error_that_says_so(words: str) -> None:
    try:
        strptime_of(words)
    except ValueError as wrong:
        assert "Use YYYY, MM and DD" in str(wrong)


# ---------------------------------------------------------------------------------------------------------------- saved

TARGETS = {name: target_of(process) for name, process in PROCESSES.items()}


def saved(folder: Path, text: str) -> SavedMappings:
    (folder / "mappings.toml").write_text(text)
    return SavedMappings(folder / "mappings.toml", TARGETS)


def mistakes(mappings: SavedMappings) -> list[str]:
    with pytest.raises(WrongMapping) as wrong:
        mappings.usual("payment")
    return [f"{each.column} {each.message}" for each in wrong.value.problems]


def test_a_saved_mapping_serves_files_whose_headings_differ() -> None:
    mappings = SavedMappings(Path(__file__).parents[2] / "config" / "mappings.toml", TARGETS)
    council = mappings.named("council-spending", "payment")
    for head in ("Trans No,Supplier Name,Amount", "Transaction Number,Beneficiary Name,Net Amount (£)"):
        sheet = read_file(f"{head}\n1,A,2\n2,A,-2\n".encode(), TARGET, council, lambda: mappings.usual("payment"))
        assert [(bool(row.input), row.skipped) for row in sheet.rows] == [
            (True, ""),
            (False, "a credit note: the amount is -2"),
        ]


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    mappings = saved(tmp_path, '[usual.payment]\naccount = "petty"\n')
    assert mappings.usual("payment") == {"account": "petty"}
    (tmp_path / "mappings.toml").write_text('[usual.payment]\naccount = "operating"\n')
    os.utime(tmp_path / "mappings.toml", ns=(1, 1))
    assert mappings.usual("payment") == {"account": "operating"}
    (tmp_path / "mappings.toml").unlink()
    assert mappings.usual("payment") == {}


def test_a_mistake_names_file_line_and_key(tmp_path: Path) -> None:
    text = (
        '[mappings.a]\nprocess = "paiment"\n[mappings.b]\n[mappings.c]\nprocess = "payment"\n'
        '[mappings.c.columns]\npayeee = "x"\n[usual.payment]\ncurrency = "POUNDS"\n[other]\n'
    )
    assert mistakes(saved(tmp_path, text)) == [
        "mappings.a mappings.toml:1: 'paiment' is not a process; is 'payment' meant?",
        'mappings.b mappings.toml:3: needs its process, such as process = "payment"',
        "mappings.c.columns.payeee mappings.toml:7: is not a field of this process; is 'payee' meant?",
        "usual.payment.currency mappings.toml:9: 'POUNDS' is not an ISO 4217 currency code such as GBP, EUR or USD",
        "other mappings.toml:10: is not a known table: name it [mappings.NAME] or [usual.PROCESS]",
    ]
    assert "cannot be read" in mistakes(saved(tmp_path, "[mappings"))[0]


def test_an_unknown_name_or_another_process_is_said(tmp_path: Path) -> None:
    mappings = saved(tmp_path, '[mappings.council]\nprocess = "payment"\n')
    with pytest.raises(WrongMapping, match="there is no saved mapping 'counsil'; is 'council' meant"):
        mappings.named("counsil", "payment")
    with pytest.raises(WrongMapping, match="is a mapping for payment, not for approval"):
        mappings.named("council", "approval")


def test_a_suggestion_as_toml_is_the_mapping(tmp_path: Path) -> None:
    sheet = read('Trans "No",Supplier,Amount,Trans No,Due\nx,A,"1,5",1,31/12/2027\n')
    assert sheet.mapping is not None
    text = as_toml('the "first"', "payment", sheet.mapping)
    (table,) = tomllib.loads(text)["mappings"].values()
    assert table.pop("process") == "payment"
    assert parse_mapping(table, TARGET.fields) == sheet.mapping
    assert saved(tmp_path, text).named('the "first"', "payment") == sheet.mapping


def test_a_mapping_is_checked_without_a_file() -> None:
    check_constants(TARGET, ColumnMapping(constants={"currency": "GBP"}).constants)
    with pytest.raises(WrongMapping):
        check_constants(TARGET, {"account": "\u202e"})
