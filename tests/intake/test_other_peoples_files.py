"""Files of other programs and countries: headings, currencies, amounts, uneven rows, lists."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from intake.mapping.column_mapping import Target, WrongMapping, parse_mapping
from intake.mapping.mapping_choice import target_of
from intake.parse_rows import Sheet
from intake.read_file import look, read_file
from intake.tables.open_table import UnreadableFile
from workflows.registry import PROCESSES

USUAL = {"account": "operating", "currency": "GBP"}
PAYMENT = target_of(PROCESSES["payment"])


def read(text: str, mapping: Mapping[str, Any] | None = None, target: Target = PAYMENT) -> Sheet:
    given = None if mapping is None else parse_mapping(mapping, target.fields)
    return read_file(text.encode(), target, given, lambda: USUAL if target.money else {})


def columns(sheet: Sheet) -> dict[str, str]:
    return {name: said[0] for name, said in sheet.mapping.columns.items()} if sheet.mapping else {}


def currencies(sheet: Sheet) -> list[str]:
    return [getattr(row.input, "currency", "; ".join(map(str, row.errors))) for row in sheet.rows]


# ------------------------------------------------------------------------------------------------------------- headings

EXPORTS: list[tuple[str, str, str, dict[str, str]]] = [
    (
        "payment",
        "Rechnungs-Nr.;Lieferant;Betrag (EUR);Fälligkeitsdatum;Verwendungszweck",
        "R1;Müller;1.234,50;31.12.2027;Papier",
        {"reference": "Rechnungs-Nr.", "payee": "Lieferant", "amount": "Betrag (EUR)", "due_date": "Fälligkeitsdatum"},
    ),
    (
        "payment",
        "RECHNUNGSNUMMER;Empfaenger;Rechnungsbetrag;Währung",
        "R1;Müller;1.234,50;EUR",
        {"reference": "RECHNUNGSNUMMER", "payee": "Empfaenger", "amount": "Rechnungsbetrag", "currency": "Währung"},
    ),
    (
        "payment",
        "N° facture;Fournisseur;Montant TTC;Devise;Date d'échéance;Libellé",
        "F1;Société;1 234,50;EUR;31/12/2027;x",
        {"reference": "N° facture", "payee": "Fournisseur", "amount": "Montant TTC", "due_date": "Date d'échéance"},
    ),
    (
        "payment",
        "Nº de factura;Proveedor;Importe;Moneda;Fecha de vencimiento;Concepto",
        "F1;Muñoz;1.234,50;EUR;31/12/2027;x",
        {"reference": "Nº de factura", "payee": "Proveedor", "amount": "Importe", "currency": "Moneda"},
    ),
    (
        "payment",
        "Numero fattura;Fornitore;Importo;Valuta",
        "1;A;12,50;EUR",
        {"payee": "Fornitore", "amount": "Importo"},
    ),
    ("payment", "Factuurnummer;Leverancier;Bedrag;Valuta", "1;A;12,50;EUR", {"reference": "Factuurnummer"}),
    ("payment", "Nr faktury;Kontrahent;Kwota;Waluta", "1;A;12,50;PLN", {"reference": "Nr faktury", "amount": "Kwota"}),
    ("payment", "Номер счета;Поставщик;Сумма;Валюта", "1;A;12,50;RUB", {"payee": "Поставщик", "amount": "Сумма"}),
    ("payment", "請求書番号,支払先,金額,通貨", "1,A,1500,JPY", {"reference": "請求書番号", "payee": "支払先"}),
    (  # DATEV
        "payment",
        "Umsatz (ohne Soll/Haben-Kz);WKZ Umsatz;Belegfeld 1;Buchungstext;Lieferant",
        "12,50;EUR;R1;x;Acme",
        {"reference": "Belegfeld 1", "amount": "Umsatz (ohne Soll/Haben-Kz)", "currency": "WKZ Umsatz"},
    ),
    (  # Xero
        "payment",
        "*ContactName,*InvoiceNumber,*DueDate,Total,Currency",
        "Acme,1,31/12/2027,12.50,GBP",
        {"reference": "*InvoiceNumber", "payee": "*ContactName", "due_date": "*DueDate", "amount": "Total"},
    ),
    (  # QuickBooks
        "payment",
        "Date,Transaction type,Num,Name,Memo/Description,Amount",
        "01/02/2027,Bill,12,Acme,paper,100.00",
        {"reference": "Num", "payee": "Name", "memo": "Memo/Description", "amount": "Amount"},
    ),
    (  # SAP
        "payment",
        "Document Number,Vendor,Amount in doc. curr.,Document currency,Amount in local currency,Local Currency",
        "1,Acme,12.50,USD,10,GBP",
        {"reference": "Document Number", "amount": "Amount in doc. curr.", "currency": "Document currency"},
    ),
    ("payment", "SupplierID,Company,Invoice No,Amount", "20016580,HMRC,1,2", {"payee": "Company"}),
    ("payment", "Vendor ID,VendorNo,Vendor,Invoice No,Amount", "7,8,HMRC,1,2", {"payee": "Vendor"}),
    ("user_onboarding", "Employee ID,Name,Email", "1,Ada Lovelace,a@example.org", {"full_name": "Name"}),
    (
        "user_onboarding",
        "Employee ID,first_name,last_name,Start Date",
        "1,Ada,Lovelace,31/12/2027",
        {"reference": "Employee ID", "full_name": "{first_name} {last_name}", "start_date": "Start Date"},
    ),
    (
        "user_onboarding",
        "Personalnummer;Vorname;Name;Eintrittsdatum",
        "1;Ada;Lovelace;31.12.2027",
        {"reference": "Personalnummer", "full_name": "{Vorname} {Name}", "start_date": "Eintrittsdatum"},
    ),
    ("user_onboarding", "Matricule;Nom;Prénom", "1;Lovelace;Ada", {"full_name": "{Prénom} {Nom}"}),
    ("user_onboarding", "Nº empleado;Nombre;Apellidos", "1;Ada;Lovelace", {"full_name": "{Nombre} {Apellidos}"}),
    (
        "approval",
        "Vorgang;Betreff;Begründung;Genehmiger",
        "1;Miete;x;managers",
        {"reference": "Vorgang", "title": "Betreff", "body": "Begründung", "candidates": "Genehmiger"},
    ),
    ("approval", "Ticket,Subject,Description", "1,Rent?,x", {"title": "Subject", "body": "Description"}),
    ("approval", "Référence;Objet;Motif", "1;Loyer;x", {"reference": "Référence", "title": "Objet"}),
    ("deployment", "Change ID,Application,Version", "1,shop,2.0", {"reference": "Change ID", "app": "Application"}),
    ("data_import", "ID;Tabelle;Dateiname", "1;customers;c.csv", {"dataset": "Tabelle", "file": "Dateiname"}),
    ("security_review", "Ticket;Projekt", "1;clean-job", {"target": "Projekt"}),
]


@pytest.mark.parametrize(("process", "head", "row", "expected"), EXPORTS, ids=lambda each: str(each)[:40])
@pytest.mark.parametrize("title", ["", "Export of June 2027\n\n"])
def test_columns_of_real_exports_are_suggested(
    process: str, head: str, row: str, expected: dict[str, str], title: str
) -> None:
    target = target_of(PROCESSES[process])
    found = read(f"{title}{head}\n{row}\n", target=target)
    assert expected.items() <= columns(found).items()
    assert [row.input is not None for row in found.rows] == [True], [row.errors for row in found.rows]
    seen = look(f"{title}{head}\n{row}\n".encode(), target)
    assert expected.items() <= seen.columns.items()


@pytest.mark.parametrize("heading", ["SupplierID", "SUPPLIERID", "Supplier_Id", "VendorNo", "PayeeCode", "supplierno"])
def test_an_identifier_is_never_a_payee(heading: str) -> None:
    with pytest.raises(UnreadableFile, match="missing: payee"):
        read(f"Invoice No,{heading},Amount\n1,20016580,2\n")


def test_a_title_does_not_hide_headings_that_nobody_knows() -> None:
    seen = look(b"Report of June\n\nKey figure,Colour,Shape\n1,red,round\n2,blue,square\n", PAYMENT)
    assert seen.headings == ["Key figure", "Colour", "Shape"]


def test_a_reference_that_is_often_blank_loses_to_one_that_is_filled_and_unique() -> None:
    head = "Invoice No,Our Ref,Supplier,Amount\n"
    often = head + "".join(f"{'' if n % 5 == 0 else n},R{n},A,2\n" for n in range(20))
    assert columns(read(often))["reference"] == "Our Ref"
    repeated = head + "".join(f"{'' if n % 5 == 0 else n},R{n % 3},A,2\n" for n in range(20))
    assert columns(read(repeated))["reference"] == "Invoice No"
    filled = head + "".join(f"{n},R{n},A,2\n" for n in range(20)) + "Total,,,40\n"
    assert columns(read(filled))["reference"] == "Invoice No"


# ----------------------------------------------------------------------------------------------------------- currencies

MAPPED = {"reference": "Invoice No", "payee": "Supplier"}


@pytest.mark.parametrize(
    ("heading", "code"),
    [
        *[
            (heading, "EUR")
            for heading in ("Amount (EUR)", "Betrag (EUR)", "Amount in EUR", "EUR", "Montant €", "Euro")
        ],
        *[("Amount [USD]", "USD"), ("Net CHF", "CHF"), ("Importe (US$)", "USD"), ("Kwota PLN", "PLN")],
        *[("金額 (円)", "JPY"), ("Сумма, руб", "RUB"), ("Sterling amount", "GBP"), ("Amount eur", "EUR")],
    ],
)
@pytest.mark.parametrize("given", [True, False])
def test_a_currency_in_the_heading_wins_over_the_usual_one(heading: str, code: str, given: bool) -> None:
    mapping = {"columns": {**MAPPED, "amount": heading}} if given else None
    assert currencies(read(f'Invoice No,Supplier,"{heading}"\n1,A,99\n', mapping)) == [code]


@pytest.mark.parametrize("heading", ["Amount ($)", "Amount EUR/USD", "Net ¥"])
@pytest.mark.parametrize("given", [True, False])
def test_a_heading_that_leaves_the_currency_open_is_a_question(heading: str, given: bool) -> None:
    mapping = {"columns": {**MAPPED, "amount": heading}} if given else None
    with pytest.raises(WrongMapping, match="set one currency for every row"):
        read(f"Invoice No,Supplier,{heading}\n1,A,99\n", mapping)
    code = "JPY" if "¥" in heading else "USD"
    told = {**(mapping or {}), "constants": {"currency": code}}
    assert currencies(read(f"Invoice No,Supplier,{heading}\n1,A,99\n", told)) == [code]


def test_a_heading_against_the_currency_column_makes_the_row_invalid_and_fills_blanks() -> None:
    found = read("Invoice No,Supplier,Amount (EUR),Currency\n1,A,2,GBP\n2,A,2,EUR\n3,A,2,\n")
    assert currencies(found) == [
        "Amount (EUR): the currency is GBP, and the heading 'Amount (EUR)' says EUR",
        "EUR",
        "EUR",
    ]


def test_a_heading_against_a_constant_is_refused() -> None:
    for heading in ("Amount (EUR)", "Montant €", "Amount ($)"):
        with pytest.raises(WrongMapping, match="but the heading"):
            read(f"Invoice No,Supplier,{heading}\n1,A,2\n", {"constants": {"currency": "GBP"}})


def test_a_column_of_currencies_that_nobody_named_is_read_or_asked_about() -> None:
    text = "Invoice No,Supplier,Amount,Cost type\n1,A,2,EUR\n2,A,2,USD\n"
    assert currencies(read(text)) == ["EUR", "USD"]
    with pytest.raises(WrongMapping, match="the column 'Cost type' holds currencies"):
        read(text, {"columns": {**MAPPED, "amount": "Amount"}})


def test_a_currency_above_the_headings_counts() -> None:
    assert currencies(read("All amounts in EUR\n\nInvoice No,Supplier,Amount\n1,A,2\n")) == ["EUR"]


def test_an_amount_of_the_books_is_not_in_the_currency_of_the_document() -> None:
    with pytest.raises(WrongMapping, match="Name both in the mapping"):
        read("Invoice No,Vendor,Amount in local currency,Document currency\n1,A,2,USD\n")


@pytest.mark.parametrize("heading", ["Amount", "Net amount", "Total all", "Top value", "Amount of all"])
def test_words_that_are_codes_too_are_words(heading: str) -> None:
    assert currencies(read(f"Invoice No,Supplier,{heading}\n1,A,2\n", {"columns": {**MAPPED, "amount": heading}})) == [
        "GBP"
    ]


# -------------------------------------------------------------------------------------------------------------- amounts


@pytest.mark.parametrize(
    ("cell", "currency", "amount"),
    [
        ("1,23,456.00", "INR", "123456.00"),
        ("12,34,567", "INR", "1234567.00"),
        ("1,500", "JPY", "1500"),
        ("1.500", "JPY", "1500"),
        ("1500.00", "JPY", "1500"),
        ("¥1,500", "JPY", "1500"),
        ("₹1,23,456.50", "INR", "123456.50"),
        ("CHF 1'234.50", "CHF", "1234.50"),
        ("$5", "CAD", "5.00"),
        ("12,50 zł", "PLN", "12.50"),
        ("5 kr", "SEK", "5.00"),
        ("1,500", "GBP", "may be 1500 or 1.500"),
        ("1,500", "KWD", "may be 1500 or 1.500"),
        ("1,5", "JPY", "JPY has no decimals"),
        ("$5", "GBP", "says USD"),
        ("1,23,45.00", "INR", "is not a number"),
        ("15%", "GBP", "is a percentage"),
    ],
)
def test_an_amount_is_read_by_what_its_currency_allows(cell: str, currency: str, amount: str) -> None:
    mapping = {"columns": {**MAPPED, "amount": "Amount", "currency": "Currency"}}
    (row,) = read(f'Invoice No,Supplier,Amount,Currency\n1,A,"{cell}",{currency}\n', mapping).rows
    assert amount in str(getattr(row.input, "amount", row.errors)), row.errors


# ------------------------------------------------------------------------------------------------------ rows and lists


@pytest.mark.parametrize(
    "head", ["reference,payee,amount,currency,account,memo,due_date", "Ref,Payee,Amount,Ccy,Account,Memo,Due"]
)
@pytest.mark.parametrize(
    "row", ["1,A,2,GBP,x", "1,A,2,GBP,x,m", "1,A,2,GBP,x,m,", "1,A,2,GBP,x,m,,", "1,A,2,GBP,x,,,,,"]
)
def test_missing_or_superfluous_empty_last_cells_do_no_harm(head: str, row: str) -> None:
    (found,) = read(f"{head}\n{row}\n").rows
    assert found.input is not None, found.errors


@pytest.mark.parametrize("head", ["reference,payee,amount,currency,account,memo", "Ref,Payee,Amount,Ccy,Account,Memo"])
@pytest.mark.parametrize(("row", "said"), [("1,A", "too few cells: 2"), ("1,A,2,GBP,x,m,more", "too many cells: 7")])
def test_a_row_that_lacks_what_is_needed_or_holds_more_is_invalid(head: str, row: str, said: str) -> None:
    (found,) = read(f"{head}\n{row}\n").rows
    assert said in str(found.errors[0])


class Trip(BaseModel):
    """A plugin."""

    city: str
    tags: list[str] = []
    legs: list[int] = []
    extra: dict[str, int] = {}


@pytest.mark.parametrize(
    ("cell", "tags"),
    [('["a","b"]', ["a", "b"]), ("a; b", ["a", "b"]), ("a, b", ["a, b"]), ("", []), ("[]", [])],
)
@pytest.mark.parametrize("given", [True, False])
def test_a_list_field_takes_json_or_semicolons(cell: str, tags: Sequence[str], given: bool) -> None:
    text = "reference,city,tags\n1,Rome,{}\n".format('"' + cell.replace('"', '""') + '"')
    (row,) = read(text, {"columns": {"tags": "tags", "city": "city"}} if given else None, Target(Trip)).rows
    assert isinstance(row.input, Trip) and row.input.tags == tags, row.errors


def test_numbers_and_objects_are_json_and_what_is_not_is_said() -> None:
    text = 'reference,city,legs,extra\n1,Rome,"[1, 2]","{""a"": 1}"\n2,Rome,1;2,\n3,Rome,"[1,","{""a"":1,""a"":2}"\n'
    first, second, third = read(text, None, Target(Trip)).rows
    assert isinstance(first.input, Trip) and (first.input.legs, first.input.extra) == ([1, 2], {"a": 1})
    assert isinstance(second.input, Trip) and second.input.legs == [1, 2]
    assert [each.column for each in third.errors] == ["legs", "extra"]
    assert all("is not valid JSON" in each.message for each in third.errors)
