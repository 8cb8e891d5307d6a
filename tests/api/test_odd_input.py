"""No odd value causes a 5xx, on any route and parameter, with SQLite and with PostgreSQL."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import pytest
import pytest_asyncio

from api.app import create_app
from cases.reconcile.refused_messages import Refusals
from store.db.database import Database
from store.people import people, tokens as access_tokens
from store.receivers.ledger import Ledger
from tests.api import odd_values
from tests.api.conftest import API, PEOPLE, Gate, payment
from tests.support.postgres import Postgres

SHARES = {"postgresql": 79, "sqlite": 241}
"""One call of so many in every run, each time the same; `make soak` makes all. Prime, so that each value has a turn.

SQLite stores nearly every value. PostgreSQL refuses many, so it has more of the calls.
"""
SHARES_OF_CURSORS = {"postgresql": 37, "sqlite": 101}
SHARE_OF_HEADERS = 97
FORM = "application/x-www-form-urlencoded"
UNDOES_THE_TEST = {
    ("DELETE", f"{API}/people/{{person_id}}/tokens"),
    ("POST", f"{API}/people/{{person_id}}/deactivate"),
    ("POST", "/sign-out-everywhere"),
}


class Odd(NamedTuple):
    """A gateway with a case, a task and an upload of its own."""

    gate: Gate
    ids: dict[str, str]


@pytest_asyncio.fixture(scope="module", params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, stopped: Gate) -> AsyncIterator[Odd]:
    if request.param == "sqlite":
        async with stopped.worker():
            yield Odd(stopped, await _things(stopped))
        return
    server: Postgres = request.getfixturevalue("postgres_server")
    name = server.create(request.getfixturevalue("postgres_template"))
    settings = stopped.settings.model_copy(update={"database_url": server.url(name)})
    database, tokens = Database(settings.database_url), {}
    async with database.write() as conn:
        for person, groups in PEOPLE.items():
            await people.add(conn, person, person.title(), groups, by="admin-1")
            tokens[person] = await access_tokens.make(conn, person, "test", by="admin-1")
    await Ledger(database).fund("fund", "operating", "GBP", Decimal(100_000_000))
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        gate = dataclasses.replace(
            stopped,
            app=app,
            settings=settings,
            database=database,
            tokens=tokens,
            refusals=Refusals(database),
            _clients={},
        )
        async with gate.worker():
            yield Odd(gate, await _things(gate))
    await database.close()
    server.drop(name)


async def _things(gate: Gate) -> dict[str, str]:
    case_id = await gate.start(payee="Odd Ltd")
    task = await gate.open_task(case_id)
    files = {"file": ("odd.csv", b"reference,payee,amount,currency,account\nodd,,1,GBP,operating\n", "text/csv")}
    answer = await gate.as_("requester-1").post(f"{API}/batches?process=payment", files=files)
    assert answer.status_code == 202, answer.text
    asked = await gate.post(
        "admin-1", "/ledger/accounts/operating/funds", {"amount": "1.00", "currency": "GBP", "reason": "odd"}
    )
    policies = await gate.get("admin-1", "/processes/payment")
    return {
        "case_id": case_id,
        "task_id": task["task_id"],
        "batch_id": answer.json()["batch_id"],
        "person_id": "steward-1",
        "id": "steward-1",
        "process": "payment",
        "name": "payment",
        "hash": policies.json()["policy_hash"],
        "change_id": asked.json().get("change_id", "none"),
        "group": "managers",
        "act": "pause",
        "username": "operating",
    }


class Call(NamedTuple):
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.target[:300]} {self.headers} {self.body[:300]!r}"


def _values(name: str) -> tuple[str, ...]:
    if name in ("cursor", "since", "last_event_id"):
        return (*odd_values.CURSORS, *odd_values.NUMBERS, "\0")
    return (*odd_values.TEXTS, *odd_values.NUMBERS, *odd_values.MOMENTS)


def calls(gate: Gate, ids: dict[str, str]) -> Iterator[Call]:
    """Each odd value in each place of each route, the others as they should be."""
    for route in odd_values.routes(gate.app):
        if (route.method, route.path) in UNDOES_THE_TEST or route.method == "HEAD":
            continue
        path = odd_values.address(route.path, ids)
        for name in route.query:
            for value in _values(name):
                given = urlencode({name: value}, errors="surrogatepass")
                needed = "&currency=GBP" if "currency" in route.query and name != "currency" else ""
                yield Call(route.method, f"{path}?{given}{needed}", [])
        for name in re.findall(r"{(\w+)}", route.path):
            for value in _values(name):
                yield Call(route.method, odd_values.address(route.path, ids, **{name: value}), [])
            for raw in ("%ed%a0%80", "%ff", "%c0%80", "%", "%2", "%zz", "%e2%80", "a" * 12000):
                yield Call(route.method, route.path.replace("{" + name + "}", raw), [])
        for name in route.fields:
            others = urlencode(dict.fromkeys([each for each in route.fields if each != name], "1"))
            for value in _values(name):
                body = f"{urlencode({name: value})}&{others}".encode()
                yield Call(route.method, path, [("Content-Type", FORM)], body)
            head = f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
            for data in (b"\0", b"\xff\xfe", b"\xed\xa0\x80", b'{"a": "\\ud800"}', b"[" * 5000):
                kind = [("Content-Type", "multipart/form-data; boundary=x")]
                yield Call(route.method, path, kind, head + data + b"\r\n--x--\r\n")
        for body in _bodies(route):
            yield Call(route.method, path, [("Content-Type", "application/json")], body)


def _bodies(route: odd_values.Route) -> Iterator[bytes]:
    fields = getattr(route.json, "model_fields", None)
    if route.json is None:
        return
    for part in odd_values.JSON_PARTS:
        yield part.encode()
    fields = fields or {}
    for odd_one, field in fields.items():
        plain: dict[str, Any] = {}
        for name, each in fields.items():
            if name != odd_one and each.is_required():
                alias = each.alias or name
                plain[alias] = payment()["input"] if alias == "input" else _PLAIN.get(alias, "x")
        body = json.dumps({**plain, (field.alias or odd_one): "ODD"})
        for part in odd_values.JSON_PARTS:
            yield body.replace('"ODD"', part).encode()
            if odd_one == "items":
                item = json.dumps({"task_id": "x", "verdict": "approve", "comment": "ODD"}).replace('"ODD"', part)
                yield f'{{"items": [{item}]}}'.encode()


_PLAIN: dict[str, Any] = {
    "process": "payment",
    "verdict": "approve",
    "revision": 1,
    "from": "2027-01-01",
    "to": "2027-01-02",
    "groups": ["managers"],
    "items": [{"task_id": "x", "verdict": "approve"}],
    "amount": "1.00",
    "currency": "GBP",
    "account": "operating",
    "at": "2026-12-24T00:00:00Z",
    "until": "2026-12-24T00:00:00Z",
    "to_": "manager-2",
}


async def _make(place: Odd, made: list[Call], person: str | None = "admin-1") -> None:
    token = [("Authorization", f"Bearer {place.gate.tokens[person]}")] if person else []
    failed: Counter[str] = Counter()
    said: dict[str, str] = {}
    for each in made:
        answer = await odd_values.call(place.gate.app, each.method, each.target, [*token, *each.headers], each.body)
        if answer.status >= 500:
            about = f"{each.method} {each.target.partition('?')[0][:80]}"
            failed[about] += 1
            said.setdefault(about, f"{each} -> {answer.status} {answer.body[:200]!r}")
    assert not failed, "\n".join(f"{failed[about]} x {one}" for about, one in said.items())


@pytest.mark.both_databases
async def test_no_odd_value_is_an_error_of_ours(place: Odd) -> None:
    made = list(calls(place.gate, place.ids))
    assert len(made) > 10_000
    await _make(place, made[:: SHARES[place.gate.database.kind]])


@pytest.mark.both_databases
async def test_what_was_an_error_of_ours_is_none_any_more(place: Odd) -> None:
    case = quote(place.ids["case_id"], safe="")
    form, as_json = ("Content-Type", FORM), ("Content-Type", "application/json")
    deep = odd_values.CURSORS[8]
    await _make(
        place,
        [
            *(
                Call("GET", f"{API}/ledger/entries?reference={value}", [])
                for value in ("", "%20", "x" * 500, "%E2%80%8B", "%00")
            ),
            Call("GET", f"{API}/audit/pack?case_id=", []),
            *(Call("GET", f"{API}{path}?cursor={deep}", []) for path in ("/cases", "/tasks", "/batches", "/risks")),
            *(Call("GET", f"{API}/ledger/entries?cursor={value}", []) for value in ("2147483648", "9" * 18)),
            *(
                Call("POST", f"/cases/{case}/{act}", [form], b"text=%00&reason=%00")
                for act in ("comment", "cancel", "rollback")
            ),
            Call("POST", "/sign-out", [form, ("Referer", "http://[")]),
            Call("POST", f"/cases/{case}/cancel", [form, ("Referer", "http://[")]),
            Call("GET", "/static/holdgate.css", [("Content-Length", "99999999999")]),
            Call("GET", f"{API}/events", [("Content-Length", "99999999999")]),
            Call("POST", f"{API}/cases", [as_json], b'{"process": "payment", "reference": "\\ud800", "input": {}}'),
            Call(
                "POST",
                f"{API}/cases",
                [as_json],
                b'{"process": "\\u0000", "reference": "x", "input": {"a": "\\u0000"}}',
            ),
        ],
    )


async def test_no_odd_name_of_a_file_is_an_error_of_ours(place: Odd) -> None:
    case = quote(place.ids["case_id"], safe="")
    kind = ("Content-Type", "multipart/form-data; boundary=x")
    made = []
    for name in (
        b"a\0b",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"x" * 4000,
        b"../../x",
        b"..",
        b'\\"',
        b"\xe2\x80\xae.csv",
        b"%00",
    ):
        for more in (b"", b"; filename*=punycode''x", b"; name=other"):
            head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"' + more
            body = head + b"\r\nContent-Type: text/csv\r\n\r\nreference,payee\nx,y\n\r\n--x--\r\n"
            for path in (f"{API}/batches?process=payment", f"{API}/cases/{case}/attachments", "/upload"):
                made.append(Call("POST", path, [kind], body))
    await _make(place, made)


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("person", ["admin-1", "requester-1", "manager-1"])
async def test_no_odd_value_at_all_is_an_error_of_ours(place: Odd, person: str) -> None:
    await _make(place, list(calls(place.gate, place.ids)), person)


@pytest.mark.both_databases
async def test_no_cursor_is_an_error_of_ours(place: Odd) -> None:
    """All of them, for each list of the API."""
    made = [
        Call(route.method, f"{odd_values.address(route.path, place.ids)}?{name}={quote(value)}", [])
        for route in odd_values.routes(place.gate.app)
        for name in route.query
        if name in ("cursor", "since") and route.method == "GET"
        for value in _values(name)
    ]
    await _make(place, made[:: SHARES_OF_CURSORS[place.gate.database.kind]])


HEADERS = {
    "Range": (
        "bytes=0-",
        "bytes=-1",
        "bytes=9-1",
        "bytes=" + "0-1," * 2000,
        "bytes=99999999999999999999-",
        "x=1",
        "bytes=\xb2-",
    ),
    "If-Range": ("x", "\xff", "Mon, 99 Foo 99999 99:99:99 GMT"),
    "If-None-Match": ('"', "*", 'W/"' + "x" * 4000, "\xff"),
    "If-Modified-Since": ("never", "Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "1", "\xff"),
    "Accept": ("\xff", "text/csv;q=NaN", ";" * 4000, "text/html;q=-1, */*;q=1e999", "text/csv"),
    "Accept-Language": ("\xff", "x" * 4000, "*;q=NaN"),
    "Accept-Encoding": ("gzip;q=NaN", "\xff"),
    "Last-Event-ID": ("-1", "9" * 15, "9" * 5000, "\xb2", "\xff", "NaN", ""),
    "Idempotency-Key": ("\xff", "x" * 200, "x" * 201, "'", " ", ""),
    "Origin": ("null", "http://[", "http://a:b:c", "\xff", "", "http://\xb2:\xb2"),
    "Referer": ("http://[", "http://[::1/x", "//", "http://x:99999999/", "\xff", "http://gateway/" + "x" * 9000),
    "Host": ("[", "a:b:c", "gateway:99999999", "gateway:-1", "\xff", "", "a@b", "[::1", "gateway/x", "x" * 3000),
    "Cookie": ("holdgate=\xff", "holdgate=" + "x" * 5000, "=;=;;", 'holdgate="\\', "a=b;" * 900, "holdgate=\\303\\251"),
    "Authorization": ("Bearer", "Bearer \xff", "Bearer  ", "Basic \xff", "Bearer " + "x" * 5000, "\xff", ""),
    "Content-Type": (
        "\xff",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 300,
        ";",
        "application/json; x=\xff",
        "multipart/form-data; boundary=\xff",
        "application/x-www-form-urlencoded; \xff",
        "application/json+json",
        'text/csv; a="',
        "message/rfc822",
        "/",
        "application/",
    ),
    "Content-Length": ("-1", "99999999999999999999", "\xb2", "x", "1", "9" * 5000),
    "Sec-Fetch-Site": ("\xff", "cross-site"),
    "HX-Request": ("true", "\xff"),
    "HX-Target": ("\xff", "'"),
    "X-Csrf": ("\xff", "x" * 5000),
    "User-Agent": ("\xff" * 3000,),
    "X-Forwarded-For": ("\xff",),
    "Traceparent": ("\xff", "00-" + "0" * 32 + "-" + "0" * 16 + "-ff"),
    "Transfer-Encoding": ("x",),
    "Expect": ("x",),
    "Upgrade": ("websocket",),
}


async def test_no_odd_header_is_an_error_of_ours(place: Odd) -> None:
    """For somebody and for nobody, on one route of each kind."""
    case = quote(place.ids["case_id"], safe="")
    targets = [
        *(
            ("GET", path)
            for path in ("/", "/sign-in", "/docs", "/static/holdgate.css", f"/cases/{case}", "/nothing", "/events")
        ),
        *(
            ("POST", path)
            for path in ("/sign-in", "/sign-out", "/upload", "/bulk", f"/cases/{case}/comment", "/ledger/open")
        ),
        *(("GET", f"{API}{path}") for path in ("/tasks", f"/cases/{case}", "/events", "/audit", "/nothing")),
        *(
            ("POST", f"{API}{path}")
            for path in ("/cases", "/batches?process=payment", f"/cases/{case}/attachments", "/tasks/decisions")
        ),
        *(("GET", path) for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json")),
    ]
    tokens = [[("Authorization", f"Bearer {place.gate.tokens['admin-1']}")], []]
    made = []
    for method, target in targets:
        for name, values in HEADERS.items():
            for number, value in enumerate(values):
                for token in tokens if name != "Authorization" else [[]]:
                    accept = [("Accept", "text/html")] if number % 2 and name != "Accept" else []
                    body = b"a=1" if method == "POST" else b""
                    made.append(Call(method, target, [*token, *accept, (name, value)], body))
    await _make(place, made[::SHARE_OF_HEADERS], None)
