"""Files in the drop folder of a running product whose worker is killed."""

import json
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.installed_app import Product

SEED = 20261123
FILES = 12
ROWS = 5
KILLS = 6
HEAD = "reference,payee,amount,currency,account\n"


def drop(folder: Path, number: int) -> None:
    """As a careful program does: written elsewhere, renamed in."""
    rows = (
        f"DROP-{number}-{row},Supplier {number}-{row},{10 + number * 10 + row},GBP,operating\n" for row in range(ROWS)
    )
    hidden = folder / f".{number}.csv"
    hidden.write_text(HEAD + "".join(rows))
    hidden.rename(folder / f"{number}.csv")


TAKEN = "SELECT count(*) FROM batches WHERE status <> 'receiving'"
"""A worker that is killed while it receives a file leaves one that was never taken; the sweep forgets it."""


@pytest.mark.timeout(240)
@pytest.mark.soak
def test_every_dropped_file_becomes_one_batch_and_every_row_one_case_while_workers_are_killed(tmp_path: Path) -> None:
    chance, folder = random.Random(SEED), tmp_path / "drop"
    (folder / "payment").mkdir(parents=True)
    var = tmp_path / "var"
    var.mkdir()
    with Product(var, HOLDGATE_IMPORT_DIR=str(folder), HOLDGATE_IMPORT_REQUESTER="requester-1") as product:
        with product.client("admin-1") as client:
            assert client.get(f"{product.up['gateway_url']}/health/ready").json()["warnings"] == []
        for number in range(FILES):
            drop(folder / "payment", number)
            if number % (FILES // KILLS) == 0:
                time.sleep(chance.uniform(1.0, 4.0))
                product.kill("worker")
        names = {f"{number}.csv" for number in range(FILES)}
        while {path.name for path in (folder / "done").glob("*.csv")} != names:
            time.sleep(0.2)
        while counted(var, "SELECT count(*) FROM cases WHERE status = 'completed'") < FILES * ROWS:
            time.sleep(0.2)
    batches = {json.loads(path.read_text())["batch_id"] for path in (folder / "done").glob("*.report.json")}
    assert len(batches) == FILES == counted(var, TAKEN)
    assert counted(var, "SELECT count(*) FROM cases") == FILES * ROWS
    assert counted(var, "SELECT count(*) FROM batch_rows WHERE outcome = 'started'") == FILES * ROWS
    assert not list((folder / "payment").iterdir())


def counted(var: Path, query: str) -> int:
    with closing(sqlite3.connect(var / "holdgate.db")) as connection:
        return int(connection.execute(query).fetchone()[0])
