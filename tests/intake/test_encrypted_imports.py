"""The import of a file whose payloads are encrypted: its rows, the name of the file and the orders about it."""

from pathlib import Path

from sqlalchemy import select

from core.payload_codec import ENCODING
from store.tables.cases import case_keys
from tests.intake.conftest import HEAD, Office
from tests.support.encrypted import encrypting


async def test_an_import_and_its_cases_begin_with_keys_of_their_own(office: Office, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    if office.starter.keys is None:  # else the whole run is encrypted
        office.client = await encrypting(office.client, office.db, tmp_path / "keys")
        office.__post_init__()
    names = ["Ottoline Ltd", "Ada Ltd", "Grace Ltd"]
    rows = "".join(f"E-{number},{name},12.50,GBP,operating\n" for number, name in enumerate(names))
    taken = await office.take(HEAD + rows, "pay ottoline.csv")
    async with office.worker():
        report = await office.finished(taken.batch_id or "")
    assert report.rows.started == 3
    async with office.db.read() as conn:
        strict = {row.subject: row.strict for row in await conn.execute(select(case_keys))}
    expected = {f"batch:{taken.batch_id}", *(f"payment:e-{number}" for number in range(3))}
    assert {subject for subject, yes in strict.items() if yes} >= expected
    for workflow_id in expected:
        history = await office.client.get_workflow_handle(workflow_id).fetch_history()
        text = history.to_json().lower()
        assert "ottoline" not in text and "ada ltd" not in text
        started = history.events[0].workflow_execution_started_event_attributes.input.payloads[0]
        assert started.metadata["encoding"] == ENCODING and started.metadata["subject"].decode() == workflow_id
        summary = history.events[0].user_metadata.summary
        assert summary.metadata["encoding"] == ENCODING


async def test_without_keys_no_key_is_stored(office: Office) -> None:
    taken = await office.take(HEAD + "E-9,Ada Ltd,12.50,GBP,operating\n")
    assert taken.rows.valid == 1
    async with office.db.read() as conn:
        found = (await conn.execute(select(case_keys))).all()
    assert (office.starter.keys is None) == (found == [])
