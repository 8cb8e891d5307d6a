"""After an erasure, no file of the state folder has a canary, and no restored Temporal database can be decoded."""

import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from core.errors import PayloadErased
from core.payload_keys import PayloadKeyFile, create_payload_keys
from core.payloads import converter
from store.cases.case_keys import CaseKeys
from store.db.database import Database
from tests.privacy.canaries import Drive, environment, found_in, hits
from tests.support.installed_app import Product, free_port
from tests.support.temporal import TEMPORAL

pytestmark = [pytest.mark.soak, pytest.mark.timeout(420)]

LEFT_FILES_GO_WITHIN_S = 30


@dataclass
class Erased:
    """The state folder of a product that has erased every case and upload, and Temporal's database of before."""

    var: Path
    keys: Path
    before: Path
    cases: list[str]
    had: set[str]


@pytest.fixture(scope="module")
def erased(tmp_path_factory: pytest.TempPathFactory) -> Erased:
    folder = tmp_path_factory.mktemp("erased")
    var, before = folder / "var", folder / "temporal-of-yesterday.db"
    var.mkdir()
    create_payload_keys(folder / "keys.toml")
    product = Product(var, **environment(folder), HOLDGATE_PAYLOAD_KEYS=str(folder / "keys.toml"))
    with product, Drive(product, folder) as driving:
        driving.run()
        driving.end()
        copy(var / "temporal.db", before)
        had = hits([var / "holdgate.db"])["holdgate.db"]
        cases = driving.erase()
        deadline = time.monotonic() + LEFT_FILES_GO_WITHIN_S
        while [*(var / "attachments").iterdir()] or [*(var / "uploads").rglob("*.csv")]:
            assert time.monotonic() < deadline, [*(var / "attachments").iterdir(), *(var / "uploads").rglob("*")]
            time.sleep(0.5)
    for _ in range(2):  # each start rotates the logs, and two replace the logs of the run above
        with product:
            pass
    for path in var.glob("*.db"):
        with closing(sqlite3.connect(path)) as db:
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Erased(var, folder / "keys.toml", before, cases, had)


def copy(path: Path, to: Path) -> None:
    """Copy a database that is in use."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def test_no_file_of_the_state_folder_has_a_canary(erased: Erased) -> None:
    assert len(erased.had) >= 25, "they were there before"
    files = [path for path in erased.var.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not hits(files)
    assert not [path for path in files if found_in(path.name.encode())]


def test_the_audit_log_still_verifies(erased: Erased) -> None:
    from cli.app import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDGATE_VAR", str(erased.var))
        patch.delenv("HOLDGATE_DATABASE_URL", raising=False)
        assert main(["audit", "verify"]) == 0


async def test_the_temporal_database_of_yesterday_cannot_be_decoded(erased: Erased, tmp_path: Path) -> None:
    assert not hits([erased.before])
    shutil.copy(erased.before, tmp_path / "temporal.db")
    database = Database(f"sqlite:///{erased.var}/holdgate.db")
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=TEMPORAL,
        dev_server_database_filename=str(tmp_path / "temporal.db"),
        data_converter=converter(CaseKeys(database, PayloadKeyFile(erased.keys))),
        port=free_port(),
    ) as server:
        for case in erased.cases:
            history = await server.client.get_workflow_handle(case).fetch_history()
            started = history.events[0].workflow_execution_started_event_attributes
            with pytest.raises(PayloadErased):
                await server.client.data_converter.decode(list(started.input.payloads))
            assert not found_in(history.to_json().encode())
        assert len(erased.cases) >= 12
    await database.close()
