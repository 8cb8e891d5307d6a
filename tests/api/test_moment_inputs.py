"""Moments and days are read by one rule in all inputs: HTTP, CSV and forms."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args, get_type_hints

import pytest
from fastapi.params import Depends
from fastapi.routing import APIRoute
from pydantic import ValidationError, create_model

from api.gateway.requests import ActionRequest
from api.http.problems import Problem
from api.pages.new_request import _own
from api.pages.parts.schema_form import read_form
from api.pages.tasks import _moment
from domain.batch import BatchOrder
from domain.messages import Action, Cancellation, Decision, StartNow
from domain.moments import LAST_MOMENT, lenient_fields
from tests.api.conftest import API, Gate, payment
from tests.api.test_batches import upload
from workflows.registry import PROCESSES

Refusal = tuple[int, list[str]]
"""A status, and the fields that are named; 0 for a door that is no route."""
Door = Callable[[Gate, Any], Awaitable[Refusal]]

NUMBERS = [20270331, 1774915200, 1774915200.5, True, "20270331", "1774915200", "1774915200.5", "2027-W13-3"]
BEYOND = ["9999-12-31T23:59:59-01:00", "9999-12-31T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31", "1970-01-01"]
PAST_AND_FUTURE = [
    f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}{time}" for days in (-400, 4000) for time in ("", "T09:00:00Z")
]


def refused(answer: Any) -> Refusal:
    found = [str(each.get("field") or each.get("column")) for each in answer.json().get("errors", [])]
    return answer.status_code, found


def body(process: str, **input: Any) -> dict[str, Any]:
    example = {name: text for name, text in PROCESSES[process].example.items() if name != "reference"}
    return {"process": process, "reference": "moments", "input": {**example, **input}}


def _case(process: str, field: str) -> Door:
    async def ask(gate: Gate, value: Any) -> Refusal:
        return refused(await gate.post("requester-1", "/cases", body(process, **{field: value})))

    return ask


async def _start_at(gate: Gate, value: Any) -> Refusal:
    return refused(await gate.post("requester-1", "/cases", {**payment("moments"), "start_at": value}))


def _absence(field: str) -> Door:
    async def ask(gate: Gate, value: Any) -> Refusal:
        day = f"{datetime.now(UTC).date() + timedelta(days=1)}"
        sent = {"from": day, "to": day, field: value}
        status, fields = refused(await gate.as_("manager-3").put(f"{API}/me/absence", json=sent))
        return status, ["from"] * bool(fields)

    return ask


def _csv(column: str) -> Door:
    async def ask(gate: Gate, value: Any) -> Refusal:
        data = f"reference,payee,amount,currency,account,{column}\nmoments,Acme,1.00,GBP,operating,{value}\n"
        report = (await upload(gate, data.encode(), dry_run=True)).json()
        return report["rows"]["invalid"] * 422, [each["column"] for row in report["errors"] for each in row["errors"]]

    return ask


def _form(process: str, field: str) -> Door:
    async def ask(_: Gate, value: Any) -> Refusal:
        read = read_form(PROCESSES[process].input, {f"input.{field}": str(value)})
        return 422 * (field in read.errors), [field] * (field in read.errors)

    return ask


async def _form_start_at(_: Gate, value: Any) -> Refusal:
    errors = _own({"priority": "", "start_at": str(value)})[2]
    return 422 * bool(errors), list(errors)


async def _form_clock(_: Gate, value: Any) -> Refusal:
    try:
        _moment(str(value), "due")
    except Problem as no:
        return no.status, ["due"]
    return 0, []


DOORS: dict[str, tuple[Door, str]] = {
    "POST /cases start_at": (_start_at, "start_at"),
    "payment due_date": (_case("payment", "due_date"), "due_date"),
    "approval deadline": (_case("approval", "deadline"), "deadline"),
    "user_onboarding start_date": (_case("user_onboarding", "start_date"), "start_date"),
    "absence from": (_absence("from"), "from"),
    "absence to": (_absence("to"), "from"),
    "CSV start_at": (_csv("start_at"), "start_at"),
    "CSV due_date": (_csv("due_date"), "due_date"),
    "form due_date": (_form("payment", "due_date"), "due_date"),
    "form deadline": (_form("approval", "deadline"), "deadline"),
    "form start_date": (_form("user_onboarding", "start_date"), "start_date"),
    "form start_at": (_form_start_at, "start_at"),
    "form clock": (_form_clock, "due"),
}


@pytest.mark.parametrize("door", DOORS)
async def test_no_input_accepts_a_number_as_a_moment_or_a_moment_out_of_bounds(stopped: Gate, door: str) -> None:
    ask, field = DOORS[door]
    for value in [*NUMBERS, *BEYOND, *(PAST_AND_FUTURE if door != "form start_at" else [])]:
        status, fields = await ask(stopped, value)
        assert status == 422 and field in [each.split(".")[-1] for each in fields], (door, value, status, fields)


async def test_a_period_of_the_audit_log_is_read_by_the_same_rule(stopped: Gate) -> None:
    for name in ("from", "to"):
        for value in [*map(str, NUMBERS), "9999-12-31", "9999-12-31T23:59:59-01:00"]:
            status, fields = refused(await stopped.get("auditor-1", "/audit", **{name: value}))
            assert (status, fields) == (422, [name]), value
    assert (await stopped.get("auditor-1", "/audit", **{"from": "1999-12-31"})).status_code == 200


def endpoints(routes: Iterable[Any]) -> Iterator[Callable[..., Any]]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route.endpoint
        elif inner := getattr(route, "original_router", None):
            yield from endpoints(inner.routes)


def test_no_request_has_a_moment_that_pydantic_reads_in_its_lenient_way(stopped: Gate) -> None:
    """A number or digits would be Unix seconds: see `domain.moments`."""
    seen = 0
    for endpoint in endpoints(stopped.app.routes):
        for name, hint in get_type_hints(endpoint, include_extras=True).items():
            if name == "return" or any(isinstance(each, Depends) for each in get_args(hint)[1:]):
                continue
            held = create_model("Held", __config__={"arbitrary_types_allowed": True}, it=(hint, ...))
            assert lenient_fields(held) == [], f"{endpoint.__qualname__}: {name}"
            seen += 1
    assert seen > 50
    for process in PROCESSES.values():
        assert lenient_fields(process.input) == [], process.name
    for message in (ActionRequest, Action, Decision, Cancellation, StartNow, BatchOrder):
        assert lenient_fields(message) == [], message.__name__


def test_a_raw_message_has_no_number_for_a_moment_and_is_brought_within_bounds() -> None:
    """A Signal from the command line bypasses the gateway."""
    raw = {
        "id": "a1",
        "task_id": "t1",
        "act": "set_clock",
        "by": {"id": "admin-1", "name": "Ada", "groups": ["admins"]},
    }
    for value in NUMBERS:
        for sent in ({"due_at": value}, {"expires_at": value}, {"at": value}):
            with pytest.raises(ValidationError):
                Action.model_validate({**raw, "at": "2027-03-31T09:00:00Z", **sent})
    read = Action.model_validate({**raw, "at": "2027-03-31T09:00:00Z", "due_at": "9999-12-31T23:59:59-01:00"})
    assert read.due_at == LAST_MOMENT


async def test_the_clock_of_a_task_takes_no_number_and_nothing_out_of_bounds(gate: Gate) -> None:
    task = await gate.open_task(await gate.start())
    for value in [*NUMBERS, *BEYOND, *PAST_AND_FUTURE]:
        for method, what, sent in (
            ("POST", "clock", {"due_at": value, "reason": "x"}),
            ("POST", "clock", {"expires_at": value, "reason": "x"}),
            ("PUT", "follow-up", {"until": value}),
        ):
            path = f"{API}/tasks/{task['task_id']}/{what}"
            status, fields = refused(
                await gate.as_("admin-1" if what == "clock" else "manager-1").request(method, path, json=sent)
            )
            assert (status, [each.split(".")[-1] for each in fields]) == (422, [next(iter(sent))]), (sent, fields)
    edits = await gate.decide("manager-1", task, "request_changes", comment="When is it due?")
    assert edits.status_code == 200, edits.text
    changes = await gate.open_task(task["case_id"])
    for value in (20270331, "20270331", "9999-12-31", "1970-01-01"):
        no = await gate.decide("requester-1", changes, "resubmit", edits={"due_date": value})
        assert refused(no) == (422, ["edits.due_date"]), no.text


async def test_a_clock_that_is_set_with_an_offset_is_told_in_utc(gate: Gate) -> None:
    task = await gate.open_task(await gate.start())
    east = {"due_at": "2027-07-01T09:00:00+05:00", "expires_at": "2027-07-01T23:30:00-08:00", "reason": "a holiday"}
    moved = await gate.post("admin-1", f"/tasks/{task['task_id']}/clock", east)
    assert moved.status_code == 200, moved.text
    assert (moved.json()["due_at"], moved.json()["expires_at"]) == ("2027-07-01T04:00:00Z", "2027-07-02T07:30:00Z")

    def told(case: dict[str, Any]) -> bool:
        return any(each["kind"] == "clock_set" for each in case["timeline"])

    case = await gate.until(task["case_id"], told)
    (said,) = (each["summary"] for each in case["timeline"] if each["kind"] == "clock_set")
    assert "due 2027-07-01 04:00 UTC, expires 2027-07-02 07:30 UTC" in said


TWINS = ["{}\u200b", "{}\u00ad", "\ufeff{}", "{}\u200e", "{}\ufe0f", "{}\u2060", "{}\u034f", "{}\U000e0041"]
ALIKE = ["\u00a0{}", "{} ", "\uff29NV-{}"]


async def test_a_reference_is_one_case_however_it_is_spelt(stopped: Gate) -> None:
    number = "7315"
    first = await stopped.post("requester-1", "/cases", payment(f"INV-{number}"))
    assert first.status_code == 201
    for made in TWINS:
        again = await stopped.post("requester-1", "/cases", payment(made.format(f"INV-{number}")))
        assert (again.status_code, again.json()["errors"][0]["field"]) == (422, "reference"), ascii(made)
        assert "cannot be seen" in again.json()["errors"][0]["message"]
    spelt = [
        "inv-{}",
        "\u00a0INV-{}",
        "\uff29\uff2e\uff36-{}",
        "\u0131nv-{}",
        "INV\u2011{}",
        "INV\u2013{}",
        "\u0406NV-{}",
    ]
    for text in [each.format(number) for each in spelt] + ["INV-731\uff15", "INV-731\u0665"]:
        again = await stopped.post("requester-1", "/cases", payment(text))
        assert (again.status_code, again.json()["case_id"]) == (409, "payment:inv-7315"), ascii(text)
    data = "reference,payee,amount,currency,account\n" + "".join(
        f"{text},Acme,1.00,GBP,operating\n" for text in ("INV-7316", "inv\u20117316", "INV-731\uff16", "INV-7316\u200b")
    )
    report = (await upload(stopped, data.encode(), dry_run=True)).json()
    assert (report["rows"]["valid"], report["rows"]["total"]) == (1, 4)
