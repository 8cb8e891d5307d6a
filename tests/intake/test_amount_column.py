"""Files with several amount columns, or with amounts in thousands or cents: people are asked, nothing is guessed."""

from collections.abc import Mapping
from typing import Any

import pytest

from intake.mapping.column_mapping import WrongMapping, parse_mapping
from intake.mapping.mapping_choice import target_of
from intake.parse_rows import Sheet
from intake.read_file import read_file
from workflows.registry import PROCESSES

TARGET = target_of(PROCESSES["payment"])
USUAL = {"account": "operating", "currency": "GBP"}


def read(text: str, mapping: Mapping[str, Any] | None = None) -> Sheet:
    given = None if mapping is None else parse_mapping(mapping, TARGET.fields)
    return read_file(text.encode(), TARGET, given, lambda: USUAL)


def amounts(sheet: Sheet) -> list[Any]:
    return [getattr(row.input, "amount", row.skipped) for row in sheet.rows]


@pytest.mark.parametrize(
    ("headings", "cells"),
    [
        ("Net,VAT,Gross", "100.00,20.00,120.00"),
        ("Gross,Net", "120.00,100.00"),
        ("Amount,Gross amount", "100.00,120.00"),
        ("Total,Amount paid,Balance due", "100.00,60.00,40.00"),
        ("Amount,Balance due", "100.00,0.00"),
        ("Amount USD,Amount GBP", "150.00,120.00"),
        ("Montant HT,TVA,Montant TTC", "100.00,20.00,120.00"),
        ("Nettobetrag,Bruttobetrag", "100.00,119.00"),
        ("Kwota netto,Kwota brutto", "100.00,123.00"),
        ("Bedrag excl. btw,Bedrag incl. btw", "100.00,121.00"),
        ("Valor sem IVA,Valor com IVA", "100.00,123.00"),
    ],
)
def test_which_of_two_amounts_is_paid_is_a_question(headings: str, cells: str) -> None:
    text = f"Invoice No,Supplier,{headings}\nA,Acme,{cells}\n"
    with pytest.raises(WrongMapping, match=r"columns.amount: .* in line 2\. Name the column to pay"):
        read(text)
    for heading, cell in zip(headings.split(","), cells.split(","), strict=True):
        # Which it is has been said. The currency of the heading still counts.
        columns = {"reference": "Invoice No", "payee": "Supplier", "amount": heading}
        assert [str(each) for each in amounts(read(text, {"columns": columns}))] == [cell] or cell == "0.00"


def test_the_question_comes_for_a_difference_in_any_row() -> None:
    same = "".join(f"{number},Acme,10.00,10\n" for number in range(700))
    text = f"Invoice No,Supplier,Net,Gross\n{same}"
    assert set(map(str, amounts(read(text)))) == {"10.00"}
    with pytest.raises(WrongMapping, match=r"10\.00 and 12\.00 in line 702"):
        read(f"{text}last,Acme,10.00,12.00\n")


def test_the_amount_in_the_currency_of_the_books_is_no_question_beside_the_one_of_the_document() -> None:
    text = "Document No,Vendor name,Amount in local currency,Doc. currency,Amount in doc. currency\n1,Acme,80,USD,100\n"
    (row,) = read(text).rows
    assert (row.input.model_dump()["currency"], str(row.input.amount)) == ("USD", "100.00")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "heading",
    [
        *(
            "Amount (£000)",
            "Amount £'000",
            "Amount (000s)",
            "Amount £k",
            "Amount (k€)",
            "Betrag (T€)",
            "Betrag in TEUR",
        ),
        *(
            "Amount (thousands)",
            "Betrag in Tsd. EUR",
            "Montant (milliers)",
            "Amount $m",
            "Amount (€ Mio)",
            "金額(千円)",
        ),
        *(
            "Amount (pence)",
            "amount_cents",
            "Amount in cents",
            "Сумма (тыс. руб.)",
            "Kwota (tys. zł)",
            "Amount (USD 000)",
        ),
    ],
)
def test_amounts_in_thousands_or_in_cents_are_never_paid_as_units(heading: str) -> None:
    text = f"Invoice No,Supplier,{heading},Currency\nA,Acme,120,EUR\n"
    columns = {"reference": "Invoice No", "payee": "Supplier", "amount": heading, "currency": "Currency"}
    with pytest.raises(WrongMapping, match=r"columns.amount: .* says .* write the amounts in full"):
        read(text, {"columns": columns})


@pytest.mark.parametrize("title", ["All amounts in thousands", "Figures in £000", "(in T€)", "Angaben in Tsd. Euro"])
def test_a_title_tells_of_units_too(title: str) -> None:
    with pytest.raises(WrongMapping, match="write the amounts in full"):
        read(f"{title}\nInvoice No,Supplier,Amount\nA,Acme,120\n")


@pytest.mark.parametrize("title", ["Payments over £500", "Millions of Smiles Ltd", "Costs by cost centre, 3000"])
def test_a_title_that_tells_of_no_unit_stops_nothing(title: str) -> None:
    assert list(map(str, amounts(read(f"{title}\nInvoice No,Supplier,Amount (GBP)\nA,Acme,120\n")))) == ["120.00"]


@pytest.mark.parametrize("heading", ["Amount", "Amount (£)", "Amount in EUR", "Montant TTC", "Kwota", "Amount KRW"])
def test_usual_headings_tell_of_no_unit(heading: str) -> None:
    assert len(amounts(read(f"Invoice No,Supplier,{heading}\nA,Acme,120\n"))) == 1


def test_a_column_in_place_of_a_usual_value_is_reported() -> None:
    sheet = read("Bill No.,Vendor,Account,Amount\n1,Acme,Office Supplies,12.50\n")
    assert "'Account' stands for account, instead of the default operating" in sheet.notes


def test_a_refusal_for_want_of_a_column_says_what_nearly_was_one() -> None:
    with pytest.raises(Exception, match=r"'Amount' could stand for amount, but the column has hardly any numbers"):
        read("Invoice No,Supplier,Amount\nA,Acme,12%\n")
