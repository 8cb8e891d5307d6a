"""Refuse ambiguous requests: a parameter that the route does not read, a repeated JSON key, a NUL character."""

from collections.abc import Iterator
from json import JSONDecodeError
from typing import Any, get_origin

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.middleware import API
from api.http.problems import FieldError, Problem, invalid, of_http_exception
from domain import strict_json
from intake.mapping.column_mapping import nearest


async def known_parameters(request: Request) -> None:
    """Raise Problem 422 for a query parameter that the route does not read, or that is given twice.

    A parameter that takes several values may be given several times.
    """
    given = request.query_params.multi_items()
    if not given:
        return
    known = dict(_parameters(request.scope["route"].dependant))
    wrong: dict[str, str] = {}
    for number, (name, _) in enumerate(given):
        if name not in known:
            wrong[name] = f"is not a parameter of this address{nearest(name, list(known))}"
        elif not known[name] and any(name == before for before, _ in given[:number]):
            wrong[name] = "is given twice"
    if wrong:
        errors = [FieldError(field=name[:200], message=message) for name, message in wrong.items()]
        raise invalid("Some query parameters are unknown or given twice: see `errors`.", errors, known=sorted(known))


KNOWN_PARAMETERS = [Depends(known_parameters)]


def check_address(scope: Scope) -> None:
    """Raise Problem 422 for an address with a NUL character, which PostgreSQL cannot store."""
    query: bytes = scope["query_string"]
    if "\0" in scope["path"] or b"\0" in query or b"%00" in query:
        raise invalid(
            "The address is not valid.", [FieldError(field="address", message="must not contain a NUL character")]
        )


class StrictRequests:
    """Middleware that, below `/api`, refuses addresses with a NUL and JSON that parsers can read differently.

    FastAPI would accept JSON with duplicate keys. So this middleware reads and checks a JSON body first, within the
    limits for bodies, and passes the same bytes on.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API):
            return await self.app(scope, receive, send)
        request = Request(scope, receive)
        body: bytes | None = None
        try:
            check_address(scope)
            if _is_json(request):
                _check(body := await request.body())
        except Problem as wrong:
            return await wrong.response()(scope, receive, send)
        except HTTPException as refused:
            return await of_http_exception(refused).response()(scope, receive, send)
        await self.app(scope, receive if body is None else _again(body, receive), send)


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind.endswith(("/json", "+json"))


def _check(body: bytes) -> None:
    """Raise Problem 415 for a body that is not UTF-8, and 422 for JSON that is invalid or has a key twice."""
    try:
        strict_json.loads(body.decode() or "null")
    except UnicodeDecodeError as wrong:
        detail = f"The body is not UTF-8: byte {wrong.start} cannot be read. Send JSON as UTF-8."
        raise Problem(415, detail, kind="encoding") from wrong
    except (ValueError, RecursionError) as wrong:
        raise invalid("The request is not valid.", [FieldError(field="body", message=_why(wrong))]) from wrong


def _again(body: bytes, receive: Receive) -> Receive:
    """Return an ASGI receive function that returns the body already read, then the messages after the body."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _why(wrong: Exception) -> str:
    match wrong:
        case RecursionError():
            return "is nested too deeply"
        case JSONDecodeError():
            return f"is not JSON: {wrong}"
        case _:
            return str(wrong)


def _parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Yield each query parameter that a route reads, with True if the parameter may be given several times."""
    for each in dependant.query_params:
        annotation: Any = each.field_info.annotation
        yield each.alias, get_origin(annotation) in (list, set, tuple)
    for inner in dependant.dependencies:
        yield from _parameters(inner)
