"""People of one process learn nothing about the cases of another: not from an answer, and not from how it is refused.

Two processes have people of their own, by the policy. Each has cases, files and an upload whose texts contain a word
that nothing else contains. Then somebody with every role of the other process asks every route and page, with every id.
"""

import html
import io
import re
import zipfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from tests.api.odd_values import routes
from tests.authorization.conftest import HR, HR_ALL, PAYMENT_ALL, Product
from tests.authorization.permissions import What
from tests.authorization.rows import Place, Row, send
from tests.authorization.rows_of_api import ROWS as API_ROWS
from tests.authorization.test_matrix import ROWS
from tests.authorization.things import PAYMENTS, Ids, Side, Things, path_of

WORDS = {PAYMENTS.process: "zanderfinch", HR.process: "quollbrook"}
"""The word of each process, which only texts of its cases contain."""
KINDS = {"reference", "title", "comment", "file", "question", "upload", "row", "decision", "reason"}
"""Where the word is: see `planted`."""
ASKS_AS = {PAYMENTS.process: PAYMENT_ALL, HR.process: HR_ALL}
"""A person with every role of the process."""


def word(side: Side, kind: str) -> str:
    return f"{WORDS[side.process]}-{kind}"


@dataclass
class Planted:
    """The things of one process, and the ids by which they are known."""

    side: Side
    ids: Ids
    since: int
    """The newest event before the things were made."""
    absent: Ids = field(default_factory=dict)
    """Ids of the same form, of things that do not exist."""


async def plant(product: Product, side: Side) -> Planted:
    """Make things of a process with its word in every text that people can enter."""
    since, things = await product.newest_event(), Things(product.gate, side)
    post = things._post
    new = side.new()
    title = {"payee": word(side, "title")} if side is PAYMENTS else {"title": word(side, "title")}
    new |= {"reference": f"{word(side, 'reference')}-{uuid4().hex[:6]}", "input": {**new["input"], **title}}
    case_id = (await post(side.requester, "/cases", json=new))["case_id"]
    task = await things._task(case_id)
    ids: Ids = {"case_id": case_id, "task_id": task["task_id"], "reference": new["reference"]}
    case, task_path = path_of("/cases/{case_id}", ids), path_of("/tasks/{task_id}", ids)
    await post(side.requester, f"{case}/comments", json={"text": word(side, "comment")})
    file = {"file": (f"{word(side, 'file')}.txt", word(side, "file").encode(), "text/plain")}
    ids["attachment_id"] = (await post(side.requester, f"{case}/attachments", files=file))["attachment_id"]
    question = {"to": side.requester, "text": word(side, "question")}
    asked = await post(side.candidate, f"{task_path}/questions", json=question)
    ids["question_id"] = asked["questions"][0]["id"]
    sheet = {"file": (f"{word(side, 'upload')}.csv", side.rows() + word(side, "row").encode() + b"\n", "text/csv")}
    ids["batch_id"] = (await post(side.requester, f"/batches?process={side.process}", files=sheet))["batch_id"]
    other = await things.case()
    no = {"verdict": "reject", "comment": word(side, "decision"), "revision": int(other["revision"])}
    decided = await post(side.candidate, path_of("/tasks/{task_id}/decision", other), json=no)
    ids["decision_id"] = decided["decision_id"]
    cancelled = await things.scheduled()
    await post(side.requester, path_of("/cases/{case_id}/cancel", cancelled), json={"reason": word(side, "reason")})
    ids |= await things.action() | await things.own_file(side.requester) | await things.own_bulk(side.requester)
    ids |= {"process": side.process, "name": side.process, "group": "0" * 12, "hash": "0" * 64}
    if side.twice:
        ids["group"] = (await things.incident())["group"]
    return Planted(side, ids, since, {name: absent_id(name, value) for name, value in ids.items()})


def absent_id(name: str, value: str) -> str:
    """Return an id of the same form that does not exist."""
    if name in ("process", "name", "group", "hash"):
        return value
    return value[:-6] + "".join("e" if sign != "e" else "d" for sign in value[-6:])


@pytest_asyncio.fixture(scope="module")
async def planted(product: Product) -> AsyncIterator[Mapping[str, Planted]]:
    yield {side.process: await plant(product, side) for side in (PAYMENTS, HR)}


BOTH = pytest.mark.parametrize(
    ("of", "asking"), [(PAYMENTS, HR), (HR, PAYMENTS)], ids=["payments, by HR", "HR, by payments"]
)


# ------------------------------------------------------------------------------------------------------------- answers


def texts(answer: httpx2.Response) -> Iterator[str]:
    """Yield all texts of an answer: the headers, the body, and each file of a zip."""
    yield str(answer.headers)
    if answer.content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(answer.content)) as pack:
            for name in pack.namelist():
                yield name
                yield pack.read(name).decode("utf-8", "replace")
    else:
        yield html.unescape(answer.text)


def without(text: str, sent: Ids) -> str:
    """Return a text without the ids that the asker sent, however they are written."""
    for name, value in sent.items():
        for spelled in {value, quote(value, safe=""), quote(value), html.escape(value)}:
            text = text.replace(spelled, f"<{name}>") if len(spelled) > 3 else text
    return text


def leaks(answer: httpx2.Response, side: Side, sent: Ids) -> set[str]:
    """Return the kinds of texts of the process that an answer tells."""
    found = re.compile(rf"{WORDS[side.process]}-?(\w*)", re.IGNORECASE)
    return {kind for text in texts(answer) for kind in found.findall(without(text, sent))}


_ODD = re.compile(r"[0-9a-f]{32,64}|key-\w+|\d+(?=[^<>]*</time>)|\d{4}-\d\d-\d\dT[0-9:.]+\w*|data-since=\"\d+\"")


def form_of(answer: httpx2.Response, sent: Ids) -> tuple[int, dict[str, str], str]:
    """Return what an asker can compare: status, headers and text, without the ids they sent and what is random."""
    told = {name: value for name, value in answer.headers.items() if name not in ("content-length", "date")}
    headers = {name: _ODD.sub("*", without(value, sent)) for name, value in told.items()}
    return answer.status_code, headers, _ODD.sub("*", without(answer.text, sent))


# ------------------------------------------------------------------------------------------------------------ the tests


async def client_of(product: Product, place: Place, person: str) -> httpx2.AsyncClient:
    return product.callers.program(person) if place.of_api else await product.callers.browser(person)


def named(row: Row, place: Place) -> bool:
    """Return whether the request of a row names something of a case."""
    return "{" in place.path or "_id}" in repr(row) or bool(row.thing)


def _complete(place: Place, ids: Ids, own: Ids) -> Ids:
    """Return the ids with a value for each name in the address."""
    return {**dict.fromkeys(re.findall(r"{(\w+)}", place.path), "none"), **own, **ids}


@BOTH
async def test_no_list_tells_a_stranger_a_text_whatever_it_is_asked_for(
    product: Product, planted: Mapping[str, Planted], of: Side, asking: Side
) -> None:
    theirs, person = planted[of.process], ASKS_AS[asking.process]
    wrong = {}
    for place, params, headers in _questions(product, theirs):
        client = await client_of(product, place, person)
        answer = await client.get(place.path, params=params, headers=headers)
        if told := leaks(answer, of, {**theirs.ids, **params}):
            wrong[f"{place} {params} {headers}"] = answer.status_code, told
    assert not wrong


def _questions(product: Product, theirs: Planted) -> Iterator[tuple[Place, dict[str, str], dict[str, str]]]:
    """Yield each list with each of its filters, in each of its formats."""
    side, ids = theirs.side, theirs.ids
    part = WORDS[side.process][:7]
    values = {
        **dict.fromkeys(("process", "gate", "step"), ids["process"]),
        **dict.fromkeys(("case_id", "resubmits"), ids["case_id"]),
        **dict.fromkeys(("batch", "batch_id"), ids["batch_id"]),
        **dict.fromkeys(("requester", "actor"), side.requester),
        **{"q": part, "payee": part, "reference": ids["reference"], "since": str(theirs.since)},
        **{"whose": "all", "by": "requester", "ended": "true", "status": "open", "from": "2020-01-01"},
    }
    for route in routes(product.gate.app):
        place = Place("GET", route.path)
        if route.method != "GET" or "{" in route.path or str(place) not in ROWS:
            continue
        yield place, {}, {"Accept": "text/csv"} if place.of_api else {}
        for name in set(route.query) & set(values):
            yield place, {name: values[name]}, {}


@BOTH
async def test_a_stranger_is_told_no_text_and_not_whether_a_thing_exists(
    product: Product, planted: Mapping[str, Planted], of: Side, asking: Side
) -> None:
    theirs, person, own = planted[of.process], ASKS_AS[asking.process], planted[asking.process].ids
    wrong: dict[str, object] = {}
    for name, row in ROWS.items():
        place = Place.named(name)
        if row.ends_sessions or not named(row, place) or row.what in (What.READ_PEOPLE, What.CHANGE_PEOPLE):
            continue
        client = await client_of(product, place, person)
        met = []
        for ids in (theirs.ids, theirs.absent):
            answer = await send(client, place, row, _complete(place, ids, own))
            met.append(form_of(answer, ids))
            if (told := leaks(answer, of, ids)) or answer.status_code >= 500:
                wrong[name] = answer.status_code, told
        if met[0] != met[1]:
            wrong[name] = met
    assert not wrong


@BOTH
async def test_a_stranger_changes_nothing(
    product: Product, planted: Mapping[str, Planted], of: Side, asking: Side
) -> None:
    """The tests above have asked each route of the API and each form for a change."""
    admin, ids = product.callers.program("admin-1"), planted[of.process].ids
    case = (await admin.get(path_of("/api/v1/cases/{case_id}/timeline", ids))).json()
    assert {event["actor"] for event in case["items"]} & {*ASKS_AS.values()} == set()
    assert (await admin.get(path_of("/api/v1/batches/{batch_id}", ids))).json()["status"] != "cancelled"


@BOTH
async def test_the_words_are_there_for_people_of_the_process(
    product: Product, planted: Mapping[str, Planted], of: Side, asking: Side
) -> None:
    """Otherwise the tests above would look for words that nobody is told."""
    ours, person = planted[of.process], ASKS_AS[of.process]
    told: set[str] = set()
    for name, row in API_ROWS.items():
        place = Place.named(name)
        if place.safe and row.what not in (What.PUBLIC,):
            answer = await send(product.callers.program(person), place, row, _complete(place, ours.ids, {}))
            told |= leaks(answer, of, {"case_id": ours.ids["case_id"]})
    assert told >= KINDS, KINDS - told
