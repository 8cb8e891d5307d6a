"""Real cases whose content is erased: no text of people is left in any table, and nobody can guess it by a digest."""

import hashlib
import json
from pathlib import Path
from uuid import uuid4

import pytest

from domain.event_kinds import identity_of
from domain.messages import Act, Actor
from domain.status import Status, Verdict
from store.audit import audit_log
from store.audit.verification import Folders, verify_case
from store.erasure.content import erase_case
from store.erasure.files import delete_files
from tests.store.erasure.ended_cases import leaks
from tests.support.engine_fixture import Handle, House
from tests.workflows.test_changes_and_questions import act
from tests.workflows.test_forgeries import KEYS
from tests.workflows.test_payment import SHIPPED, a_payment, account as account, pay

IBAN = "GB33BUKB20201555555555"


async def erase(house: House, case: Handle, folder: Path) -> None:
    async with house.database.write() as conn:
        await erase_case(conn, case.id, by="pia", reason="asked", request=None)
    await delete_files(house.database, Folders(folder, folder))


@pytest.mark.parametrize("end", [Status.COMPLETED, Status.REJECTED, Status.ROLLED_BACK])
async def test_no_text_of_a_payment_is_left_after_its_erasure(
    house: House, account: str, end: Status, tmp_path: Path
) -> None:
    text = f"canary{uuid4().hex[:12]}"
    case = await pay(house, a_payment(account, "600.00", payee=text, memo=f"for {text}", payee_account=IBAN))
    task = await house.open_task(case)
    await act(house, case, task, Act.ASK, to=Actor(id="rita"), text=f"Who is {text}?")
    verdict = Verdict.REJECT if end is Status.REJECTED else Verdict.APPROVE
    await house.decide(case, "mia", verdict, comment=f"I know {text}")
    await house.end(case)
    if end is Status.ROLLED_BACK:
        undone = await house.roll_back(case, reason=f"{text} was paid twice", policy=SHIPPED)
        if SHIPPED.count("payment.gates.rollback"):
            await house.decide(undone, "dan")
        await house.end(undone)
    assert (await house.row(case)).status is end
    assert set(await leaks(house.database, text)) > {"cases.input", "event_payloads.payload", "decisions.comment"}
    await erase(house, case, tmp_path)
    assert await leaks(house.database, text) == await leaks(house.database, IBAN) == []
    async with house.database.read() as conn:
        found = await verify_case(conn, case.id, keys=KEYS)
    assert found.problems == [] and found.erased_proofs >= 2


async def test_nobody_can_guess_an_erased_comment_by_the_id_of_its_event(
    house: House, account: str, tmp_path: Path
) -> None:
    case = await pay(house, a_payment(account, "600.00"))
    await house.decide(case, "mia", Verdict.REJECT, comment="no")
    await house.end(case)
    async with house.database.read() as conn:
        stored = await audit_log.page(conn, case.id)
    salt = (await house.row(case)).salt
    assert salt is not None
    ids = {event.event_id.rpartition("/")[2].partition("-")[0] for event in stored}
    said = [json.dumps((event.kind, event.actor, identity_of(event.data)), sort_keys=True) for event in stored]
    with_salt, without = ({hashlib.sha256((s + text).encode()).hexdigest()[:16] for text in said} for s in (salt, ""))
    assert with_salt & ids and not without & ids
    await erase(house, case, tmp_path)
    assert await leaks(house.database, salt) == []
