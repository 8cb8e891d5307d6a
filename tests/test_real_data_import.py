"""Published files of a council, unchanged, and what the import reports about them."""

import csv
import io
from pathlib import Path

import pytest

from domain.batch import BatchCounts
from intake.upload import Uploads
from tests.intake.conftest import ROOT, Office, clients as clients, office as office

REAL_DATA = ROOT.parent / "shared" / "real-data"
RENAMED = {"Trans No": "reference", "Supplier Name": "payee", "Amount": "amount"}
SAVED = "council-spending"
CREDIT_NOTES = {"council-payments-apr-jun-2014.csv": 13, "council-payments-jul-sep-2016.csv": 1}
EXPECTED = {  # without credit notes; some payees were left out
    "council-payments-apr-jun-2014.csv": BatchCounts(total=3823, valid=3823),
    "council-payments-jul-sep-2016.csv": BatchCounts(total=3580, valid=3541, invalid=39),
    "council-payments-jan-mar-2018.csv": BatchCounts(total=1220, valid=1211, invalid=9),
}

pytestmark = pytest.mark.skipif(not REAL_DATA.exists(), reason="../shared/real-data is absent")


def with_our_headings(file: Path) -> bytes:
    """The file as a person would mend it: three headings renamed, two columns added that are the same in each row."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        heading, *rows = csv.reader(lines)
    corrected = io.StringIO(newline="")
    writer = csv.writer(corrected)
    writer.writerow([RENAMED.get(name.strip(), name) for name in heading] + ["currency", "account"])
    writer.writerows([*row, "GBP", "operating"] for row in rows)
    return corrected.getvalue().encode()


def reader(office: Office) -> Uploads:
    """Takes files with the mappings that are shipped."""
    return Uploads(office.db, office.client, office.policy, office.folder, mappings=ROOT / "config" / "mappings.toml")


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_council_file_is_read_with_the_one_saved_mapping(office: Office, name: str) -> None:
    data = (REAL_DATA / name).read_bytes()
    report = await reader(office).dry_run("payment", name, data, "rita", SAVED)
    assert report.rows == EXPECTED[name]
    assert report.skipped == CREDIT_NOTES.get(name, 0)
    assert report.lines_read == report.rows.total + report.skipped
    assert report.notes[1:] == ["usual value: account = operating", "usual value: currency = GBP"]
    assert "Paid Date" in report.ignored_columns and len(report.ignored_columns) == 7


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_council_file_is_read_with_the_suggested_mapping(office: Office, name: str) -> None:
    data = (REAL_DATA / name).read_bytes()
    report = await reader(office).dry_run("payment", name, data, "rita")
    expected = EXPECTED[name]
    # Nobody said that amounts below 0 are credit notes.
    assert (report.rows.valid, report.rows.invalid) == (expected.valid, expected.invalid + CREDIT_NOTES.get(name, 0))
    said = {f"{error.column}: {error.message.rpartition(': ')[2]}" for row in report.errors for error in row.errors}
    assert said <= {"Amount: an amount is more than 0", "Supplier Name: enter a value"}
    assert report.mapping and report.mapping["columns"] == {
        "reference": ["Trans No"],
        "payee": ["Supplier Name"],
        "amount": ["Amount"],
    }


async def test_a_council_file_with_our_headings_is_read_by_them(office: Office) -> None:
    name = "council-payments-jan-mar-2018.csv"
    report = await office.uploads.dry_run("payment", name, with_our_headings(REAL_DATA / name), "rita")
    assert report.rows == EXPECTED[name]
    assert (report.mapping, report.notes, len(report.ignored_columns)) == (None, [], 7)
