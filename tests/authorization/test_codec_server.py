"""The codec server decodes for admins and for operators of the process, records each use, and encodes for nobody."""

import base64
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from google.protobuf import json_format
from sqlalchemy import select, update
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.client import Client

from api.http.codec_access import origins_of_web_ui
from api.routes.codec import MOST_BYTES
from api.services.payload_decoding import MOST_PAYLOADS
from core.payload_codec import ENCODING, UNREADABLE_TEXT
from core.payload_keys import PayloadKey, PayloadKeyFile, changed_payload_keys
from core.payloads import data_converter
from domain.event_kinds import EventKind
from domain.token_scopes import TokenScope
from store.audit import audit_log
from store.audit.audit_log import StoredEvent
from store.people import service_accounts, tokens
from store.tables.audit import events
from store.tables.cases import case_keys
from tests.api.conftest import payment
from tests.authorization.callers import URL, Ended
from tests.authorization.conftest import HR, HR_ALL, PAYMENT_ALL, Product

PAYEE = "Ottoline Ltd"
UI = "http://localhost:8233"
FOREIGN = ("https://evil.example", "http://localhost:3000", "null", "http://127.0.0.1.evil.example:8233", URL)


async def encrypted(product: Product, case_id: str) -> list[Payload]:
    """The payloads of the start of a case, as Temporal stores them."""
    client = product.gate.client
    plain = Client(client.service_client, namespace=client.namespace, data_converter=data_converter)
    async for event in plain.get_workflow_handle(case_id).fetch_history_events():
        return list(event.workflow_execution_started_event_attributes.input.payloads)
    raise AssertionError


async def paid(product: Product) -> tuple[str, list[Payload]]:
    """A payment, and its payloads."""
    answer = await product.callers.program("requester-1").post("/api/v1/cases", json=payment(payee=PAYEE))
    assert answer.status_code == 201, answer.text
    case_id = answer.json()["case_id"]
    return case_id, await encrypted(product, case_id)


def body(payloads: list[Payload]) -> str:
    return json_format.MessageToJson(Payloads(payloads=payloads))


async def decode(client: httpx2.AsyncClient, payloads: list[Payload], **headers: str) -> httpx2.Response:
    named = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await client.post("/codec/decode?preserveStorageRefs=true", content=body(payloads), headers=named)


def texts(answer: httpx2.Response) -> list[str]:
    return [
        each["data"]
        if base64.b64decode(each["metadata"]["encoding"]) == ENCODING
        else base64.b64decode(each["data"]).decode()
        for each in answer.json()["payloads"]
    ]


async def newest(product: Product, kind: EventKind) -> StoredEvent:
    async with product.gate.database.read() as conn:
        found = await audit_log.page(conn, case_id="", since=0, limit=100_000)
    return [each for each in found if each.kind == kind][-1]


async def seen(product: Product) -> int:
    async with product.gate.database.read() as conn:
        kinds = (EventKind.PAYLOADS_DECODED, EventKind.DECODING_REFUSED)
        return len((await conn.execute(select(events.c.number).where(events.c.kind.in_(kinds)))).all())


DECODES = ("operator-1", "admin-1", PAYMENT_ALL)
STAYS = ("hr-operates-1", HR_ALL)
REFUSED = ("requester-1", "requester-2", "manager-1", "auditor-1", "stranger-1", "hr-asks-1", "hr-decides-1")


@pytest.mark.parametrize("person", [*DECODES, *STAYS, *REFUSED])
async def test_each_role_is_answered_and_recorded(product: Product, person: str) -> None:
    case_id, payloads = await paid(product)
    before = await seen(product)
    answer = await decode(product.callers.program(person), payloads)
    assert await seen(product) == before + 1
    if person in REFUSED:
        assert answer.status_code == 403 and PAYEE not in answer.text
        event = await newest(product, EventKind.DECODING_REFUSED)
        assert (event.actor, event.data) == (person, {"via": "token"})
        return
    event = await newest(product, EventKind.PAYLOADS_DECODED)
    reads = person in DECODES
    assert answer.status_code == 200 and (PAYEE in texts(answer)[0]) is reads
    assert reads or answer.json() == json_format.MessageToDict(Payloads(payloads=payloads))
    ids = [case_id]
    told = {"case_ids": ids, "count": 1, "withheld": []} if reads else {"case_ids": [], "count": 0, "withheld": ids}
    assert (event.actor, event.case_id, event.data) == (person, "", told)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("scope", TokenScope)
async def test_no_service_account_and_no_token_with_scopes_decodes(product: Product, scope: TokenScope) -> None:
    _, payloads = await paid(product)
    async with product.gate.database.write() as conn:
        account = await service_accounts.create(
            conn, f"codec-{scope.replace(':', '-')}", "A bot", owners=["admin-2"], scopes=[scope], expires_at=None,
            by="admin-1",
        )  # fmt: skip
        of_admin = await tokens.make(conn, "admin-1", f"codec {scope}", by="admin-1", scopes=[scope])
    for token in (account, of_admin):
        before = await seen(product)
        answer = await decode(product.callers.with_token(token), payloads)
        assert answer.status_code == 403 and await seen(product) == before + 1


async def test_ended_credentials_count_as_nobody(product: Product) -> None:
    _, payloads = await paid(product)
    of_others: set[Ended] = {"a token with scopes, at a page", "the session of a page, at the API"}
    for why, client in product.callers.ended.items():
        for origin in ({}, {"Origin": UI}):
            if why not in of_others:
                answer = await decode(client, payloads, **origin)
                assert answer.status_code == 401, (why, origin, answer.text)
                assert PAYEE not in answer.text


@pytest.mark.parametrize("origin", origins_of_web_ui("http://127.0.0.1:8233"))
async def test_the_session_counts_for_pages_of_the_web_ui(product: Product, origin: str) -> None:
    _, payloads = await paid(product)
    admin = await product.callers.browser("admin-1")
    answer = await decode(admin, payloads, Origin=origin, X_Namespace="default")
    assert PAYEE in texts(answer)[0]
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-credentials"] == "true" and "Origin" in answer.headers["vary"]
    for person in ("requester-1", "auditor-1"):
        refused = await decode(await product.callers.browser(person), payloads, Origin=origin)
        assert refused.status_code == 403 and refused.headers["access-control-allow-origin"] == origin
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-namespace"}
    preflight = await product.callers.program("admin-1").request(
        "OPTIONS", "/codec/decode", headers={"Origin": origin, **asked}
    )
    assert preflight.status_code == 200 and preflight.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize("origin", FOREIGN)
async def test_other_pages_get_nothing(product: Product, origin: str) -> None:
    _, payloads = await paid(product)
    for client in (await product.callers.browser("admin-1"), product.callers.program("admin-1")):
        answer = await decode(client, payloads, Origin=origin)
        assert answer.status_code == 403 and PAYEE not in answer.text
        assert "access-control-allow-origin" not in answer.headers
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = await client.request("OPTIONS", "/codec/decode", headers=asked)
        assert preflight.status_code == 400 and "access-control-allow-origin" not in preflight.headers


async def test_a_session_without_an_origin_counts_as_nobody(product: Product) -> None:
    _, payloads = await paid(product)
    assert (await decode(await product.callers.browser("admin-1"), payloads)).status_code == 401


async def test_nobody_encodes(product: Product) -> None:
    for client in (product.callers.program("admin-1"), product.callers.program("operator-1")):
        answer = await client.post("/codec/encode", content=body([Payload(data=b"1")]))
        assert answer.status_code == 404 and "only decodes" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        ("", {}, 422),
        ("[1]", {}, 422),
        ('{"payloads": 1}', {}, 422),
        ('{"payloads": [{"data": "not base64!"}]}', {}, 422),
        ("[" * 100_000, {}, 422),
        ('{"payloads": [' + ",".join(["{}"] * (MOST_PAYLOADS + 1)) + "]}", {}, 422),
        ("x" * (MOST_BYTES + 1), {}, 413),
        ("{}", {"X-Namespace": "another"}, 422),
        ("{}", {"X-Namespace": "default"}, 200),
        ('{"payloads": [{}], "more": 1}', {}, 200),
        (b"\xff", {}, 422),
    ],
)
async def test_bad_requests_are_refused_clearly(
    product: Product, content: Any, headers: dict[str, str], status: int
) -> None:
    admin = product.callers.program("admin-1")
    answer = await admin.post("/codec/decode", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert status == 200 or answer.json()["detail"]


async def test_what_cannot_be_read_spoils_no_other_payload(product: Product) -> None:
    (_, [good]), (gone, [erased]) = await paid(product), await paid(product)
    flipped, nobody, strange = Payload(), Payload(), Payload()
    for copy in (flipped, nobody, strange):
        copy.CopyFrom(good)
    flipped.data = good.data[:-1] + bytes([good.data[-1] ^ 1])
    nobody.metadata["subject"] = b"payment:nobody"
    strange.metadata["subject"] = b"\xff\x00"
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b'"as it is"')
    async with product.gate.database.write() as conn:
        await conn.execute(update(case_keys).where(case_keys.c.subject == gone).values(wrapped=None, kek=None))
    product.gate.app.state.services.encryption.keys._known.pop(gone, None)
    answer = await decode(product.callers.program("admin-1"), [flipped, nobody, strange, plain, erased, good])
    read = texts(answer)
    assert read[0] == f'"{UNREADABLE_TEXT}"' and read[3:5] == ['"as it is"', '"(erased)"'] and PAYEE in read[5]
    assert PAYEE not in "".join(read[:5])


async def test_a_missing_key_is_named(product: Product) -> None:
    case_id, payloads = await paid(product)
    path = product.gate.settings.payload_keys
    assert path is not None
    before, needed = path.read_bytes(), PayloadKeyFile(path).current().current
    try:
        with changed_payload_keys(path) as keys:
            keys[:] = [PayloadKey.generate()]
        product.gate.app.state.services.encryption.keys._known.pop(case_id, None)
        answer = await decode(product.callers.program("admin-1"), payloads)
        assert texts(answer) == [f'"(the payload key {needed} is missing)"']
    finally:
        path.write_bytes(before)
    assert PAYEE in texts(await decode(product.callers.program("admin-1"), payloads))[0]


async def test_payloads_of_an_upload_follow_its_rows(product: Product) -> None:
    requester = product.callers.program(HR.requester)
    file = {"file": ("rows.csv", HR.rows(), "text/csv")}
    answer = await requester.post(f"/api/v1/batches?process={HR.process}", files=file)
    assert answer.status_code in (201, 202), answer.text
    payloads = await encrypted(product, f"batch:{answer.json()['batch_id']}")
    reads = {}
    for person in ("hr-operates-1", "operator-1", "admin-1"):
        reads[person] = HR.process in texts(await decode(product.callers.program(person), payloads))[0]
    assert reads == {"hr-operates-1": True, "operator-1": False, "admin-1": True}


def test_both_names_of_this_machine_are_origins_of_the_web_ui() -> None:
    both = ["http://127.0.0.1:8233", "http://localhost:8233"]
    assert origins_of_web_ui("http://127.0.0.1:8233") == origins_of_web_ui("http://localhost:8233/x") == both
    assert origins_of_web_ui("https://Temporal.example.org/ui") == ["https://temporal.example.org"]
    assert quote(UI, safe=":/") == UI
