"""Files that a council published, with their headings renamed: what the import says about them."""

import csv
import io
from pathlib import Path

import pytest

from tests.intake.conftest import Office
from tests.intake.conftest import office as office
from tests.intake.conftest import temporal as temporal
from workflows.models import BatchCounts

REAL_DATA = Path(__file__).parent.parent.parent / "shared" / "real-data"
RENAMED = {"Trans No": "reference", "Supplier Name": "payee", "Amount": "amount"}
EXPECTED = {
    "council-payments-apr-jun-2014.csv": BatchCounts(total=3836, valid=3823, invalid=13),
    "council-payments-jul-sep-2016.csv": BatchCounts(total=3581, valid=3541, invalid=40),
    "council-payments-jan-mar-2018.csv": BatchCounts(total=1220, valid=1211, invalid=9),
}
NEGATIVE = "an amount is more than 0"
NO_PAYEE = "a value is needed"
MISTAKES = {  # credit notes, and payees that were left out
    "council-payments-apr-jun-2014.csv": {("amount", NEGATIVE): 13},
    "council-payments-jul-sep-2016.csv": {("amount", NEGATIVE): 1, ("payee", NO_PAYEE): 39},
    "council-payments-jan-mar-2018.csv": {("payee", NO_PAYEE): 9},
}


def with_our_headings(file: Path) -> bytes:
    """The file as a person would mend it: three headings renamed, two columns added that are the same in each row."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        heading, *rows = csv.reader(lines)
    mended = io.StringIO(newline="")
    writer = csv.writer(mended)
    writer.writerow([RENAMED.get(name.strip(), name) for name in heading] + ["currency", "account"])
    writer.writerows([*row, "GBP", "operating"] for row in rows)
    return mended.getvalue().encode()


@pytest.mark.skipif(not REAL_DATA.exists(), reason="../shared/real-data is absent")
@pytest.mark.parametrize("name", EXPECTED)
async def test_a_council_file_is_judged_row_by_row(office: Office, name: str) -> None:
    data = with_our_headings(REAL_DATA / name)
    report = await office.uploads.dry_run("payment", name, data, "rita")
    assert report.rows == EXPECTED[name]
    assert len(report.errors) == min(20, report.rows.invalid)
    assert "Expenditure Code" in report.ignored_columns
    assert len(report.ignored_columns) == 7


@pytest.mark.skipif(not REAL_DATA.exists(), reason="../shared/real-data is absent")
@pytest.mark.parametrize("name", EXPECTED)
async def test_a_council_file_is_taken_with_the_same_report_and_all_its_mistakes(office: Office, name: str) -> None:
    taken = await office.take(with_our_headings(REAL_DATA / name), name)
    assert taken.rows == (await office.report(taken.batch_id)).rows == EXPECTED[name]
    found: dict[tuple[str | None, str], int] = {}
    for row in await office.rows(taken.batch_id or ""):
        for error in row.errors:
            kind = (error.column, error.message.rpartition(": ")[2])
            found[kind] = found.get(kind, 0) + 1
    assert found == MISTAKES[name]
