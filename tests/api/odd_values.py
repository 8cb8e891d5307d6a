"""Odd values, and calls of the application as a server makes them: any bytes in path, headers and body."""

import asyncio
import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

MOMENTS = (
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01",
    "9999-12-31",
    "0000-00-00",
    "2999-12-31T23:59:59-23:59",
    "1900-01-01T00:00:00+23:59",
    "2027-02-30T00:00:00Z",
    "99999-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
)
NUMBERS = (
    "-1",
    "0",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "9" * 18,
    "9" * 300,
    "9" * 5000,
    "1e999",
    "1e308",
    "-1e-999",
    "NaN",
    "Infinity",
    "-0.0",
    "\u0663",
    "\u00b2",
    "1_000",
)
TEXTS = (
    "",
    " ",
    "\0",
    "a\0b",
    "\ufffd",
    "\uffff",
    "\U0001f600" * 60,
    "\u202e\u2066",
    "\r\n",
    "..",
    "../../etc/passwd",
    "//",
    "%",
    "%00",
    "_",
    "\\",
    "'",
    '"; DROP TABLE cases; --',
    "[",
    "{",
    "[]",
    "null",
    "true",
    "*",
    "x" * 199,
    "x" * 3000,
    "\u00e9" * 700,
    "payment:",
    ":",
    "~rollback",
    "payment:x~rollback~rollback",
    "group:",
    "http://[",
    "SELF",
)


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


_PARTS = (
    "0",
    "-1",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "9" * 400,
    "1e999",
    "NaN",
    "-Infinity",
    "1.5",
    "true",
    "null",
    '""',
    '"x"',
    '"\\u0000"',
    '"\\ud800"',
    '"0001-01-01T00:00:00+23:59"',
    '"9999-12-31T23:59:59-23:59"',
    '"2027-01-01T00:00:00+00:00"',
    "[]",
    "{}",
)
CURSORS = (
    "",
    "=",
    "=====",
    "a",
    "\u00e9",
    "!!!!",
    _encoded("{}"),
    _encoded("7"),
    _encoded("[" * 1400),
    _encoded("[" * 300 + "]" * 300),
    _encoded("\ud800"),
    *(_encoded(f"[{part}]") for part in _PARTS),
    *(_encoded(f"[{part},{part}]") for part in _PARTS),
    *(_encoded(f"[{part},{other},0]") for part in ('"2027-01-01T00:00:00+00:00"', "1", "null") for other in _PARTS),
    *(_encoded(f'[null,{other},"2027-01-01T00:00:00+00:00",false]') for other in _PARTS),
    *(_encoded(f'[{other},"x","2027-01-01T00:00:00+00:00",true]') for other in _PARTS),
    *(_encoded(f'["2027-01-01T00:00:00+00:00",{other}]') for other in _PARTS),
    *(_encoded(f"[1,{other}]") for other in _PARTS),
)
JSON_PARTS = (
    *_PARTS,
    '"a\\u0000b"',
    '"\\udfff\\ud800"',
    '{"\\ud800": 1}',
    '{"\\u0000": 1}',
    '{"a": 1, "a": 2}',
    "[" * 90 + "]" * 90,
    "[" * 20000 + "]" * 20000,
    '{"a":' * 90 + "1" + "}" * 90,
    "9" * 39,
    "-" + "9" * 5000,
    "0.1" + "0" * 5000,
    "1e-400",
    '"' + "x" * 5000 + '"',
    *(json.dumps(each) for each in MOMENTS),
    *(json.dumps(each) for each in NUMBERS),
    '["x"]',
    '["\\u0000"]',
    "[null]",
    '{"amount": ' + "9" * 39 + "}",
    '{"amount": "NaN"}',
    '{"amount": "1E+400"}',
    '{"payee": "a\\u0000b"}',
    '{"payee": {"a": [[[[[1]]]]]}}',
)
"""As they stand in the text of a body."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


async def call(
    app: FastAPI, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> Answer:
    """Call the application as uvicorn would for these bytes; a stream is left as soon as it has begun."""
    raw_path, _, query = target.partition("?")
    sent, status = False, 0
    answered: dict[str, str] = {}
    content = bytearray()

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            while not status or "event-stream" not in answered.get("content-type", ""):
                await asyncio.sleep(0.001)
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, answered
        if message["type"] == "http.response.start":
            status = message["status"]
            answered = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            content.extend(message.get("body", b""))

    given = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": given if any(name == b"host" for name, _ in given) else [(b"host", b"gateway"), *given],
        "client": ("127.0.0.1", 1),
        "server": ("gateway", 80),
        "state": {},
    }
    try:
        async with asyncio.timeout(20):
            await app(scope, receive, send)
    except Exception as error:  # what a server would answer with 500, or by closing the connection
        return Answer(500, {}, repr(error).encode())
    return Answer(status, answered, bytes(content))


class Route(NamedTuple):
    """A route of the application, whether in the OpenAPI document or not."""

    method: str
    path: str
    query: list[str]
    fields: list[str]
    """Of its form."""
    json: Any
    """The model of its JSON body, if it has one."""


def routes(app: FastAPI) -> Iterator[Route]:
    """All of them, pages too, with what they read."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if not isinstance(route, APIRoute):
            continue
        query: list[str] = []
        form: list[str] = []
        model: Any = None

        def read(dependant: Any, query: list[str], form: list[str]) -> None:
            nonlocal model
            query += [each.alias for each in dependant.query_params if each.alias not in query]
            for each in dependant.body_params:
                if type(each.field_info).__name__ in ("Form", "File"):
                    form.append(each.alias)
                else:
                    model = each.field_info.annotation
            for inner in dependant.dependencies:
                read(inner, query, form)

        read(route.dependant, query, form)
        for method in sorted(context.methods or []):
            yield Route(method, str(context.path), query, form, model)


def address(path: str, ids: dict[str, str], **odd: str) -> str:
    """The path with real ids, or with odd ones."""
    values = {**ids, **odd}
    return re.sub(r"{([^}]*)}", lambda name: quote(values.get(name[1], name[1]), safe=":"), path)
