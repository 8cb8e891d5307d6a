"""Requests that say something else than they seem to: a parameter nobody reads, and a key that stands twice."""

from collections.abc import Iterator
from json import JSONDecodeError
from typing import Any, get_origin

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant

from api.problems import FieldError, invalid
from intake import strict_json
from intake.mapping import nearest


async def known_parameters(request: Request) -> None:
    """422 for a query parameter that the route does not have, or has once and is given twice."""
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
        raise invalid("The address has parameters that it does not take.", errors, known=sorted(known))


async def strict_body(request: Request) -> None:
    """422 for a JSON body in which a key stands twice, or a number that is none. Whoever reads it takes one of them."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind.endswith(("/json", "+json"))):
        return
    try:
        strict_json.loads((await request.body()).decode() or "null")
    except (ValueError, RecursionError) as wrong:
        raise invalid("The request is not valid.", [FieldError(field="body", message=_why(wrong))]) from wrong


def _why(wrong: Exception) -> str:
    match wrong:
        case RecursionError():
            return "is nested too deeply"
        case JSONDecodeError() | UnicodeDecodeError():
            return f"is not JSON: {wrong}"
        case _:
            return str(wrong)


STRICT = [Depends(known_parameters), Depends(strict_body)]


def _parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Each query parameter that a route and its dependencies read, and whether it may be given several times."""
    for each in dependant.query_params:
        annotation: Any = each.field_info.annotation
        yield each.alias, get_origin(annotation) in (list, set, tuple)
    for inner in dependant.dependencies:
        yield from _parameters(inner)
