"""Cases with encrypted payloads on a real server: what Temporal stores, forgeries, rotation, lost and erased keys."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.message import Message
from sqlalchemy import update
from temporalio.api.common.v1 import Header, Payload, SearchAttributes
from temporalio.client import Client, WorkflowHistory, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.converter import WorkflowSerializationContext
from temporalio.worker import Replayer

from cases.plan_in_history import plan_in_history
from cases.reconcile.blocked_workflows import BlockedWorkflows
from cases.rollback import NotRollable
from core.errors import PayloadErased, PayloadKeyMissing
from core.payload_codec import ENCODING, PayloadCodec
from core.payload_keys import PayloadKey, PayloadKeyFile, changed_payload_keys
from core.payloads import data_converter
from core.signed_client import signed
from domain.case import CaseResult
from domain.status import Status, Verdict
from ops.replay.check import replayed
from plugins.testing.signatures import TEST_KEY
from store.cases import case_keys as module
from store.cases.case_keys import CaseKeys
from store.tables.cases import case_keys, cases
from tests.support.engine_fixture import ONE_GATE, PROCESSES, Handle, House, open_house
from tests.support.errands import ErrandRequest
from tests.workflows.test_children import POLICY, child_of
from workflows.registry import workflows
from workflows.sandbox import workflow_runner

CODE = {**workflows(), **PROCESSES}
SECRET = "ottoline"
"""A word that Temporal must never see."""
DATA_OF_SDK = "core_local_activity"
"""The marker in which the SDK itself stores the number and type of a local activity, in plain."""


@pytest_asyncio.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("encrypted"), encrypted=True) as house:
        yield house


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """All programs know that the installation encrypts."""
    monkeypatch.setattr(module, "SETTLED", timedelta(0))


def keys_of(house: House) -> CaseKeys:
    keys = CaseKeys.of(house.env.client)
    assert keys is not None
    return keys


def plain(house: House) -> Client:
    """The client of an engineer who has access to the namespace, and no key."""
    return Client(house.env.client.service_client, namespace=house.env.client.namespace, data_converter=data_converter)


def sends_as_it_is(house: House) -> Client:
    """A client that sends payloads without encrypting them, and reads answers."""

    class Sending(PayloadCodec):
        async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
            return list(payloads)

    converter = replace(house.env.client.data_converter, payload_codec=Sending(keys_of(house)))
    return Client(house.env.client.service_client, namespace=house.env.client.namespace, data_converter=converter)


def payloads_in(message: Message, path: str = "") -> Iterator[tuple[str, Payload]]:
    """Yield all payloads in a message, except those that nobody encrypts."""
    if isinstance(message, Payload):
        yield path, message
    elif not isinstance(message, SearchAttributes | Header):
        for field, value in message.ListFields():
            is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
            values = [*value.values()] if is_map else [value] if isinstance(value, Message) else value
            if field.message_type is not None:
                for each in values:
                    if isinstance(each, Message):
                        yield from payloads_in(each, f"{path}.{field.name}")


def stored(history: WorkflowHistory) -> list[tuple[str, Payload]]:
    """The payloads of a history, without those that the SDK itself writes."""
    found = []
    for event in history.events:
        marker = event.marker_recorded_event_attributes
        own = [*marker.details["data"].payloads] if marker.marker_name == DATA_OF_SDK else []
        found += [(path, each) for path, each in payloads_in(event) if each not in own]
    return [(path, each) for path, each in found if each.metadata.get("encoding") != b"json/protobuf" and each.data]


async def history_of(case: Handle) -> WorkflowHistory:
    return await case.fetch_history()


async def replays(house: House, case: Handle) -> None:
    replayer = Replayer(
        workflows=list(CODE.values()),
        namespace=house.env.client.namespace,
        data_converter=house.env.client.data_converter,
        workflow_runner=workflow_runner(),
    )
    await replayer.replay_workflow(await history_of(case))


async def eventful(house: House) -> list[Handle]:
    """A case with each kind of payload: its own, and those of its child case and of its rollback."""
    request = ErrandRequest(parcel=f"a letter of {SECRET}")
    once = f"{ONE_GATE}[retries.once]\nattempts = 1\n[errand.steps.send]\nretries = 'once'\n"
    case = await house.start(request, policy=once, before=lambda case_id: house.receiver.broken.add((case_id, "send")))
    await house.open_task(case, "approval")
    await house.decide(case, "mia", Verdict.REQUEST_CHANGES, comment=f"{SECRET} must sign")
    await house.open_task(case, "changes")
    await house.decide(case, "rita", Verdict.RESUBMIT, groups=("requesters",), edits={"value": 200})
    await house.decide(case, "mia", comment=f"{SECRET} signed")
    await house.open_task(case, "intervention")
    house.receiver.broken.clear()
    await house.decide(case, "olga", Verdict.RETRY, comment=f"{SECRET} is back")
    assert (await house.end(case)).status is Status.COMPLETED
    rollback = await house.roll_back(case, reason=f"{SECRET} asked")
    assert (await house.end(rollback)).status is Status.ROLLED_BACK
    return [case, rollback]


async def test_temporal_stores_no_content_of_a_case_in_plain(house: House) -> None:
    for handle in await eventful(house):
        history = await history_of(handle)
        description = await handle.describe()
        found = [*stored(history), *payloads_in(description.raw_description)]
        assert len(found) > 3
        case_id = handle.id.partition("~rollback")[0]
        wrong = [path for path, each in found if each.metadata.get("encoding") != ENCODING]
        assert wrong == []
        assert {each.metadata["subject"].decode() for _, each in found} == {case_id}
        assert SECRET not in history.to_json().lower() and SECRET not in str(description.raw_description).lower()
        await replays(house, handle)


async def test_parents_and_children_read_each_other_with_their_own_keys(house: House) -> None:
    case = await house.start(ErrandRequest(parcel=SECRET), process="asking", policy=POLICY)
    row = await child_of(house, case)
    child = house.env.client.get_workflow_handle(row.case_id, result_type=CaseResult)
    await house.decide(child, "mia")
    assert (await house.end(case)).status is Status.COMPLETED
    for handle in (case, child):
        found = [(path, each.metadata["subject"].decode()) for path, each in stored(await history_of(handle))]
        to_parent = [subject for path, subject in found if "signal_external_workflow" in path]
        assert to_parent == ([case.id] if handle is child else [])
        assert {subject for path, subject in found if "signal_external_workflow" not in path} == {handle.id}


# ------------------------------------------------------------------------------------- payloads of nobody with a key


async def moved(house: House, name: str) -> Payload:
    """A payload that a gateway wrote for another case."""
    other = await house.start()
    task = await house.open_task(other)
    context = house.env.client.data_converter.with_context(_context(house, other.id))
    (payload,) = await context.encode([signed(house.decision(task), TEST_KEY, "default", other.id)])
    if name == "moved":
        return payload
    payload.metadata["subject"] = name.encode()
    return payload


def _context(house: House, workflow_id: str) -> WorkflowSerializationContext:
    return WorkflowSerializationContext(house.env.client.namespace, workflow_id)


async def forged(house: House, case: Handle) -> dict[str, Payload]:
    """Payloads that the holder of the key of this case did not write for this case."""
    task = await house.open_task(case)
    decision = signed(house.decision(task), TEST_KEY, "default", case.id)
    converter = house.env.client.data_converter.with_context(_context(house, case.id))
    (own,) = await converter.encode([decision])
    flipped = Payload()
    flipped.CopyFrom(own)
    flipped.data = own.data[:40] + bytes([own.data[40] ^ 1]) + own.data[41:]
    unknown = Payload()
    unknown.CopyFrom(own)
    unknown.metadata["subject"] = b"payment:nobody"
    reference = Payload(
        metadata={"encoding": b"json/protobuf", "messageType": b"temporal.api.common.v1.ExternalStorageReference"}
    )
    marked = Payload(metadata={"encoding": b"binary/encrypted", "externalStorageReference": b"true"}, data=b"{}")
    return {
        "plain": data_converter.payload_converter.to_payloads([decision])[0],
        "flipped bit": flipped,
        "unknown case": unknown,
        "moved": await moved(house, "moved"),
        "moved and renamed": await moved(house, case.id),
        "empty": Payload(metadata={"encoding": ENCODING, "subject": case.id.encode()}),
        "no subject": Payload(metadata={"encoding": ENCODING}, data=own.data),
        "not text": Payload(metadata={"encoding": ENCODING, "subject": b"\xff"}, data=own.data),
        "reference": reference,
        "marked reference": marked,
    }


async def test_forged_payloads_change_nothing_and_jam_no_case(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    forger = sends_as_it_is(house).get_workflow_handle(case.id)
    for name, payload in (await forged(house, case)).items():
        with pytest.raises(WorkflowUpdateFailedError):
            await forger.execute_update("decide", RawValue(payload), id=name)
        await forger.signal("submit_decision", RawValue(payload))
        await forger.signal("cancel_case", RawValue(payload))
    now = await house.open_task(case)
    assert (now.task_id, now.decisions) == (task.task_id, [])
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    await replays(house, case)
    assert await house.audit_problems() == []


# ------------------------------------------------------------------------------------------------- begun in plain


async def begun_plain(house: House, monkeypatch: pytest.MonkeyPatch) -> Handle:
    """A case that runs since before the installation encrypted."""

    async def no_keys(*_: Any) -> None:
        return None

    with monkeypatch.context() as before:
        before.setattr(CaseKeys, "begin", no_keys)
        before.setattr(module, "SETTLED", timedelta(days=1))
        case = await house.start(ErrandRequest(parcel=SECRET))
        await house.open_task(case)
    assert {each.metadata["encoding"] for _, each in stored(await history_of(case))} == {b"json/plain"}
    return case


async def test_a_case_that_began_in_plain_goes_on_encrypted_and_replays(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await begun_plain(house, monkeypatch)
    await house.stop_worker()
    await house.start_worker()
    task = await house.open_task(case)
    await case.signal("nothing", "encrypted")
    await plain(house).get_workflow_handle(case.id).signal("nothing", "as before")
    await house.send(case, house.decision(task, comment="seen"))
    assert (await house.end(case)).status is Status.COMPLETED
    encodings = [each.metadata["encoding"] for _, each in stored(await history_of(case))]
    first = encodings.index(ENCODING)
    assert 0 < first < len(encodings) - 1
    assert {*encodings[:first]} == {b"json/plain"} and b"json/plain" in encodings[first:], "the hand-sent signal"
    await replays(house, case)
    report = await replayed(house.env.client, CODE, cases=[case.id])
    assert report.differences == []
    rollback = await house.roll_back(case)
    assert (await house.end(rollback)).status is Status.ROLLED_BACK


# --------------------------------------------------------------------------------------------------- keys of the file


def rotated(path: Path) -> str:
    key = PayloadKey.generate()
    with changed_payload_keys(path) as keys:
        keys.insert(0, key)
    return key.id


@contextmanager
def without_current_key(path: Path) -> Iterator[Callable[[], None]]:
    """A file that lacks the key of the cases, because an operator replaced it. Yield what corrects this."""
    before = path.read_bytes()
    rotated(path)
    with changed_payload_keys(path) as keys:
        keys[1:] = []

    def correct() -> None:
        path.write_bytes(before)
        path.chmod(0o600)

    yield correct
    correct()


async def restarted(house: House) -> None:
    """Start a worker that has nothing in memory."""
    await house.stop_worker()
    keys_of(house)._known.clear()
    await house.start_worker()


async def rotation(house: House, number: int) -> None:
    """Rotate the payload keys while so many cases are open, and finish all cases."""
    keys, path = keys_of(house), keys_of(house)._file.path
    opened = [await house.start() for _ in range(number)]
    old = PayloadKeyFile(path).current().current
    new = rotated(path)
    opened += [await house.start() for _ in range(number // 5)]
    assert await keys.rewrap() >= number
    with changed_payload_keys(path) as left:
        left[:] = [key for key in left if key.id != old]
    for case in opened:
        await house.open_task(case)
    await restarted(house)
    for case in opened:
        await house.decide(case)
    for case in opened:
        assert (await house.end(case)).status is Status.COMPLETED
    async with house.database.read() as conn:
        assert await module.keys_in_use(conn) == [new]


async def test_keys_rotate_while_cases_are_open(house: House) -> None:
    await rotation(house, 5)


@pytest.mark.soak
async def test_keys_rotate_while_two_hundred_cases_are_open(house: House) -> None:
    await rotation(house, 200)


async def test_cases_wait_for_a_missing_key_and_go_on_when_it_is_there(house: House) -> None:
    case = await house.start(task_timeout=timedelta(seconds=1))
    task = await house.open_task(case)
    path = keys_of(house)._file.path
    needed = PayloadKeyFile(path).current().current
    sender = plain(house).get_workflow_handle(case.id)
    context = house.env.client.data_converter.with_context(_context(house, case.id))
    (decision,) = await context.encode([signed(house.decision(task), TEST_KEY, "default", case.id)])
    with without_current_key(path) as correct:
        await restarted(house)
        with pytest.raises(PayloadKeyMissing, match=needed):
            await house.send(case, house.decision(task))
        await sender.signal("submit_decision", RawValue(decision))
        blocked = BlockedWorkflows(house.database, house.env.client, house.defects.suspects, ["errand"])
        async with asyncio.timeout(30):
            while (technical := await blocked._last_failure(case.id)) == "":
                await asyncio.sleep(0.1)
        assert needed in technical and case.id in technical
        with pytest.raises(PayloadKeyMissing):
            await plan_in_history(house.env.client, case.id)
        report = await replayed(house.env.client, CODE, cases=[case.id])
        assert [each.kind for each in report.differences] == ["unreadable"] and needed in report.differences[0].words
        correct()
        assert (await house.end(case)).status is Status.COMPLETED, "the decision that arrived meanwhile counts"


async def test_an_erased_case_is_refused_clearly_and_harms_no_other(house: House) -> None:
    case, other = await house.start(), await house.start()
    await house.decide(case)
    await house.end(case)
    async with house.database.write() as conn:
        gone = {"wrapped": None, "kek": None, "erased_at": datetime.now(UTC)}
        await conn.execute(update(case_keys).where(case_keys.c.subject == case.id).values(gone))
    assert await keys_of(house).forget_erased() == 1
    for refused in (case.result(), case.query("plan"), plan_in_history(house.env.client, case.id)):
        with pytest.raises((PayloadErased, WorkflowQueryFailedError), match="were erased"):
            await refused
    async with house.database.write() as conn:
        await conn.execute(update(cases).where(cases.c.case_id == case.id).values(plan=[]))
    with pytest.raises(NotRollable):
        await house.roll_back(case)
    report = await replayed(house.env.client, CODE, cases=[case.id])
    assert [(each.kind, each.words) for each in report.differences] == [
        ("unreadable", f"its history cannot be read: the data of {case.id} were erased")
    ]
    await house.decide(other)
    assert (await house.end(other)).status is Status.COMPLETED
