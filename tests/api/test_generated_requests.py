"""schemathesis over the OpenAPI document: no 5xx, and only documented statuses and content types."""

import warnings
from email.message import Message
from typing import Any, TypeAlias

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from tests.api import odd_values
from tests.api.conftest import Gate

Case: TypeAlias = schemathesis.Case[Any]

PEOPLE = ("requester-1", "manager-1", "admin-1")
UNLESS_IT_ENDS_THE_TEST = {("DELETE", "/api/v1/people/{person_id}/tokens"), ("DELETE", "/api/v1/me/tokens/{token_id}")}


def generated(document: dict[str, Any], number: int) -> list[Case]:
    """So many requests, half of them as the document wants them and half not; the same each time."""
    schema = schemathesis.openapi.from_dict(document)
    operations: list[Any] = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    found: list[Case] = []

    @settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(operations))
        mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
        found.append(data.draw(operation.as_strategy(generation_mode=mode)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collect()
    return found


@pytest.fixture(scope="module")
def few(stopped: Gate) -> list[Case]:
    return generated(stopped.app.openapi(), 60)


async def answered(gate: Gate, person: str, cases: list[Case]) -> list[str]:
    """What is not as the document says."""
    wrong = []
    for case in cases:
        if (case.method, case.operation.path) in UNLESS_IT_ENDS_THE_TEST:
            continue
        asked = requests.Request(**_arguments(case)).prepare()
        kept = [(name, value) for name, value in asked.headers.items() if name.lower() not in _OURS]
        token = ("Authorization", f"Bearer {gate.tokens[person]}")
        given: Any = asked.body
        body: bytes = given.encode() if isinstance(given, str) else given or b""
        target = str(asked.url).removeprefix("http://gateway")
        answer = await odd_values.call(gate.app, str(asked.method), target, [token, *_plain(kept)], body)
        if answer.status == 405 and case.operation.path.count("{"):  # a path parameter that is empty, or has a slash
            continue
        documented = case.operation.responses.find_by_status_code(answer.status)
        about = f"{case.method} {target[:200]} {body[:200]!r} -> {answer.status} {answer.body[:200]!r}"
        if answer.status >= 500:
            wrong.append(f"failed: {about}")
        elif documented is None:
            wrong.append(f"not documented: {about}")
        elif answer.body and _kind(answer) not in _kinds(case, answer.status):
            wrong.append(f"of another kind ({_kind(answer)}): {about}")
    return wrong


_OURS = ("authorization", "content-length", "connection", "accept-encoding", "x-schemathesis-testcaseid")


def _arguments(case: Case) -> dict[str, Any]:
    given = case.as_transport_kwargs(base_url="http://gateway")
    return {
        name: value
        for name, value in given.items()
        if name in ("method", "url", "headers", "params", "data", "json", "files")
    }


def _plain(headers: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    texts = [(name, value.decode("latin-1") if isinstance(value, bytes) else str(value)) for name, value in headers]
    return [(name, value) for name, value in texts if all(ord(sign) < 256 for sign in name + value)]


def _kind(answer: odd_values.Answer) -> str:
    message = Message()
    message["content-type"] = answer.headers.get("content-type", "")
    return message.get_content_type()


def _kinds(case: Case, status: int) -> set[str]:
    responses = case.operation.definition.raw["responses"]
    return set((responses.get(str(status)) or {}).get("content", {}))


@pytest.mark.parametrize("person", PEOPLE)
async def test_generated_requests_are_answered_as_documented(gate: Gate, few: list[Case], person: str) -> None:
    wrong = await answered(gate, person, few)
    assert not wrong, "\n".join(wrong)


@pytest.mark.soak
@pytest.mark.timeout(3000)
async def test_many_generated_requests_are_answered_as_documented(gate: Gate) -> None:
    many = generated(gate.app.openapi(), 600)
    wrong = [each for person in PEOPLE for each in await answered(gate, person, many)]
    assert not wrong, "\n".join(wrong)


def test_the_document_is_made_without_warnings(stopped: Gate) -> None:
    stopped.app.openapi_schema = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stopped.app.openapi()["paths"]


async def test_every_route_documents_what_any_of_them_may_answer(stopped: Gate) -> None:
    """401 first, 422 for a parameter it does not have, 503 without its database: on every route of the API."""
    missing = [
        (method, path, status)
        for path, methods in stopped.app.openapi()["paths"].items()
        for method, operation in methods.items()
        for status in ("401", "422", "503")
        if path.startswith("/api/") and status not in operation["responses"]
    ]
    assert not missing
