"""The codec: what it encrypts nobody else can read, change, move or write, and nothing that others wrote stops it."""

from collections import Counter
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings, strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    NexusSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.exceptions import ApplicationError

from core.errors import PayloadErased, PayloadKeyMissing
from core.payload_codec import ENCODING, UNREADABLE, UNREADABLE_TEXT, DataKey, PayloadCodec
from core.payloads import converter, data_converter
from domain.ids import case_id_for, payload_subject, rollback_id_for
from domain.installation import MARKER


class Keys:
    """Data keys in memory. A case that is not in `keys` began in plain and has no key yet."""

    def __init__(self) -> None:
        self.keys: dict[str, DataKey] = {}
        self.fails: dict[str, Exception] = {}
        self.foreign_payloads: Counter[str] = Counter()

    def add(self, subject: str, *, strict: bool = True) -> None:
        self.keys[subject] = DataKey(AESGCM(AESGCM.generate_key(256)), strict)

    async def key_of(self, subject: str, *, create: bool) -> DataKey | None:
        if subject in self.fails:
            raise self.fails[subject]
        if create and subject not in self.keys and subject.startswith("plain:"):
            self.add(subject, strict=False)
        return self.keys.get(subject)

    def foreign(self, subject: str) -> None:
        self.foreign_payloads[subject] += 1


@pytest.fixture
def keys() -> Keys:
    made = Keys()
    for subject in ("payment:a", "payment:b", "payment:a~2", "batch:7"):
        made.add(subject)
    return made


def of(keys: Keys, workflow_id: str) -> DataConverter:
    return converter(keys).with_context(WorkflowSerializationContext("default", workflow_id))


def plain(value: Any) -> Payload:
    (payload,) = data_converter.payload_converter.to_payloads([value])
    return payload


async def test_what_is_encrypted_can_be_read_only_as_a_payload_of_its_case(keys: Keys) -> None:
    (payload,) = await of(keys, "payment:a").encode([{"payee": "Ada"}])
    assert payload.metadata == {"encoding": ENCODING, "subject": b"payment:a"}
    assert b"Ada" not in payload.SerializeToString() and b"payee" not in payload.SerializeToString()
    for same in ("payment:a", "payment:a~rollback", "payment:a~rollback~2"):
        assert await of(keys, same).decode([payload]) == [{"payee": "Ada"}]
    for other in ("payment:b", "payment:a~2", "payment:a~2~rollback", "batch:7", "plain:c", "unknown:d"):
        assert await of(keys, other).decode([payload]) == [UNREADABLE_TEXT]
    assert await converter(keys).decode([payload]) == [{"payee": "Ada"}], "without a context, its own name counts"
    assert keys.foreign_payloads.total() == 6


async def test_the_same_value_is_never_encrypted_the_same_way(keys: Keys) -> None:
    twice = await of(keys, "payment:a").encode(["yes", "yes"])
    assert twice[0].data != twice[1].data


@settings(max_examples=60)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
async def test_one_changed_bit_anywhere_is_noticed(place: int, bit: int) -> None:
    keys = Keys()
    keys.add("payment:a")
    (payload,) = await of(keys, "payment:a").encode([{"amount": "100.00"}])
    raw = bytearray(payload.data)
    raw[place % len(raw)] ^= 1 << bit
    payload.data = bytes(raw)
    assert await of(keys, "payment:a").decode([payload]) == [UNREADABLE_TEXT]


@given(
    metadata=st.dictionaries(st.sampled_from(["subject", "encoding", "other"]), st.binary(max_size=20), max_size=3),
    data=st.binary(max_size=60),
    encrypted=st.booleans(),
    named=st.booleans(),
)
async def test_no_payload_that_others_wrote_raises_or_is_read(
    metadata: dict[str, bytes], data: bytes, encrypted: bool, named: bool
) -> None:
    keys = Keys()
    keys.add("payment:a")
    keys.add("payment:b")
    metadata |= ({"encoding": ENCODING} if encrypted else {}) | ({"subject": b"payment:a"} if named else {})
    payload = Payload(metadata=metadata, data=data)
    codec = of(keys, "payment:a").payload_codec
    assert codec is not None
    assert await codec.decode([payload]) == [UNREADABLE]
    assert keys.foreign_payloads == {"payment:a": 1}


async def test_an_encrypted_payload_of_another_case_under_this_name_is_noticed(keys: Keys) -> None:
    (payload,) = await of(keys, "payment:b").encode(["approve"])
    payload.metadata["subject"] = b"payment:a"
    assert await of(keys, "payment:a").decode([payload]) == [UNREADABLE_TEXT]


async def test_a_plain_payload_counts_only_in_a_case_that_began_in_plain(keys: Keys) -> None:
    assert await of(keys, "payment:a").decode([plain("forged")]) == [UNREADABLE_TEXT]
    mixed = of(keys, "plain:c")
    assert await mixed.decode([plain("old")]) == ["old"], "before its first encrypted payload"
    (new,) = await mixed.encode(["new"])
    assert new.metadata["encoding"] == ENCODING
    assert await mixed.decode([plain("old"), new]) == ["old", "new"]
    assert keys.foreign_payloads == {"payment:a": 1}


async def test_a_workflow_of_no_case_stays_plain(keys: Keys) -> None:
    for workflow_id in (MARKER, "unknown:d"):
        (payload,) = await of(keys, workflow_id).encode(["text"])
        assert payload == plain("text")
        assert await of(keys, workflow_id).decode([payload]) == ["text"]


@pytest.mark.parametrize("error", [PayloadErased("payment:a"), PayloadKeyMissing("k1", "payment:a")])
async def test_only_the_state_of_our_own_keys_raises(keys: Keys, error: Exception) -> None:
    (payload,) = await of(keys, "payment:a").encode(["text"])
    keys.fails["payment:a"] = error
    case = of(keys, "payment:a")
    for read in (lambda: case.decode([payload]), lambda: case.decode([plain("x")]), lambda: case.encode(["x"])):
        with pytest.raises(type(error), match="payment:a"):
            await read()
    assert await of(keys, "payment:b").decode([payload]) == [UNREADABLE_TEXT], "another case does not need this key"


async def test_without_a_workflow_nothing_is_encrypted_by_mistake(keys: Keys) -> None:
    nexus = NexusSerializationContext("endpoint", "service", "operation")
    for context_free in (converter(keys), converter(keys).with_context(nexus)):
        with pytest.raises(RuntimeError, match="belongs to no Workflow"):
            await context_free.encode(["text"])
        assert await context_free.decode([plain("text")]) == ["text"]


async def test_activities_use_the_key_of_their_workflow(keys: Keys) -> None:
    for local in (True, False):
        context = ActivitySerializationContext("default", "1", "pay", "queue", "payment:a", "payment", local)
        (payload,) = await converter(keys).with_context(context).encode(["text"])
        assert await of(keys, "payment:a").decode([payload]) == ["text"]


async def test_failures_are_encrypted_with_their_message_and_details(keys: Keys) -> None:
    failure = Failure()
    error = ApplicationError("Ada cannot pay", {"payee": "Ada"}, type="Trouble")
    error.__cause__ = ValueError("Ada again")
    await of(keys, "payment:a").encode_failure(error, failure)
    assert b"Ada" not in failure.SerializeToString() and failure.application_failure_info.type == "Trouble"
    read = await of(keys, "payment:a").decode_failure(failure)
    assert isinstance(read, ApplicationError)
    assert (read.message, read.details) == ("Ada cannot pay", ({"payee": "Ada"},))
    assert "Ada again" in str(read.__cause__)


async def test_off_is_the_converter_of_before() -> None:
    assert converter(None) is data_converter


def test_the_codec_of_the_same_workflow_is_made_once(keys: Keys) -> None:
    codec = PayloadCodec(keys).with_context(WorkflowSerializationContext("default", "payment:a"))
    assert codec.with_context(WorkflowSerializationContext("default", "payment:a~rollback")) is codec
    assert codec.with_context(WorkflowSerializationContext("default", "payment:b")) is not codec


@given(
    reference=st.text(alphabet="abc~ -:%", min_size=1, max_size=30), round_=st.integers(1, 12), number=st.integers(1, 9)
)
def test_a_case_and_its_rollbacks_share_a_key(reference: str, round_: int, number: int) -> None:
    try:
        case_id = case_id_for("payment", reference, round_)
    except ValueError:
        return
    assert payload_subject(case_id) == case_id == payload_subject(rollback_id_for(case_id, number))


def test_an_import_and_its_cancellation_share_a_key() -> None:
    assert payload_subject("batch:b7") == payload_subject("batch:b7~cancel") == "batch:b7"
