"""Rows that come back as CSV show only the ends of masked fields, also where nobody knows what a cell is."""

import csv
import io

import pytest

from intake.invalid_rows import bad_rows
from intake.masked_columns import MaskedColumns
from workflows.registry import PROCESSES

IBAN = "GB82WEST12345698765432"
PAYMENT = [PROCESSES["payment"]]
MAPPED = {"columns": {"payee_account": ["{Bank}/{No}", "IBAN"], "payee": ["Supplier"]}}


def back(lines: str, columns: MaskedColumns | None) -> list[str]:
    text = bad_rows(lines.encode(), {2: "wrong"}, columns=columns).removeprefix("\ufeff")
    return list(csv.reader(io.StringIO(text)))[1][1:]


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (f"reference,payee_account,memo\n20271234,{IBAN},12345678\n", ["20271234", "…5432", "12345678"]),
        (f"Reference, Payee_Account \nR-1,{IBAN.lower()}\n", ["R-1", "…5432"]),
        (f"reference,account_2\nR-1,{IBAN}\n", ["R-1", "…5432"]),
        ("reference,note\nR-1,of 2027-01-31 and 12.50\n", ["R-1", "of 2027-01-31 and 12.50"]),
        ("reference,payee,payee_account\nR-1,Acme, Ltd,GB82 WEST 1234 5698 7654 32\n", ["R-1", "Acme", "…", "…5432"]),
        (f"reference,payee,payee_account\nR-1,pay to {IBAN}\n", ["R-1", "…5432"]),
        (f"reference,payee,payee_account\nR-1,Acme,{IBAN},\n", ["R-1", "Acme", "…5432", ""]),
    ],
)
def test_cells_that_may_be_masked_values_show_only_their_ends(lines: str, shown: list[str]) -> None:
    assert back(lines, MaskedColumns.of(PAYMENT, None)) == shown


def test_a_mapping_says_which_columns_are_masked() -> None:
    columns = MaskedColumns.of(PAYMENT, MAPPED)
    lines = f"IBAN,Bank,No,Supplier,payee_account\n{IBAN},WESTMINSTER,12345678,12345678,87654321\n"
    assert back(lines, columns) == ["…5432", "…STER", "…5678", "12345678", "…4321"]


def test_a_process_that_masks_nothing_gets_its_cells_as_they_are() -> None:
    assert MaskedColumns.of([PROCESSES["approval"]], None) is None
    assert back(f"reference,x\nR-1,{IBAN}\n", None) == ["R-1", IBAN]
    mixed = MaskedColumns.of([PROCESSES["approval"], *PAYMENT], None)
    assert back(f"task_id,payee_account,title\nR-1,{IBAN},{IBAN}\n", mixed) == ["R-1", "…5432", IBAN]
