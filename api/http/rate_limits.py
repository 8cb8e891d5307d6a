"""Let a request in, or answer 429 because its caller has sent too many: by credential, person and network address.

The address counts only for requests of callers who are not signed in, because all people behind a proxy have the
address of the proxy. A stream of live updates counts once, when it is opened, and `api/services/open_streams.py` limits
how many are open.
"""

import ipaddress
import math
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from fastapi import Request

from api.http.credentials import Credential
from api.http.problems import Problem
from api.services.rate_limits import Bucket, Caller, RateLimits, TooManyRequests
from api.services.turns import NoTurn
from domain.rate_limits import RequestKind
from store.people.people import Person

PERSON_FACTOR = 2
"""A person may send so many times the requests of one of their credentials."""
NETWORK = 64
"""A client with IPv6 has all addresses of its network of this size, so the network counts."""

_API = "(?:/api/v1)?"
_ONE = "[^/]+"
_KINDS = {
    RequestKind.SIGN_IN: r"POST /(?:link|sign-in(?:/.*)?)|GET /sign-in/.*callback",
    RequestKind.SCIM: r"[A-Z]+ /scim/.*",
    RequestKind.CODEC: r"POST /codec/.*",
    RequestKind.UPLOADS: rf"POST (?:/api/v1/batches|/upload(?:/{_ONE})?|/api/v1/cases/.+/attachments|/cases/.+/attach)",
    RequestKind.STARTS: rf"POST (?:/api/v1/cases|/new/{_ONE}|{_API}/cases/.+/start)",
    RequestKind.DECISIONS: rf"(?:POST|PUT|PATCH|DELETE) {_API}/(?:tasks|incidents|bulk)(?:/.*)?",
    RequestKind.SEARCHES: rf"(?:GET|HEAD) (?:/|{_API}/(?:cases|tasks|batches|people|incidents|dashboard|ledger|audit)"
    rf"|/requests|/upload/{_ONE}|{_API}/audit/pack|{_API}/batches/{_ONE}(?:/rows)?"
    r"|/api/v1/(?:groups|datasets|risks|ledger/.*|one-time-links))",
}
_STREAM = re.compile(rf"GET {_API}(?:/batches/{_ONE})?/events")
_REQUEST = re.compile("|".join(f"({pattern})" for pattern in _KINDS.values()))
_BY_GROUP = tuple(_KINDS)


def kind_of(method: str, path: str) -> RequestKind:
    """Return the kind of a request."""
    found = _REQUEST.fullmatch(f"{method} {path}")
    return _BY_GROUP[found.lastindex - 1] if found and found.lastindex else RequestKind.OTHER


def is_stream(method: str, path: str) -> bool:
    """Return True for a stream of live updates, which stays open and so takes no turn."""
    return _STREAM.fullmatch(f"{method} {path}") is not None


class LimitReached(Problem):
    """Problem 429: the caller has sent too many requests. `seconds` is when the next one is let in."""

    def __init__(self, detail: str, seconds: float, **members: str) -> None:
        self.seconds = max(1, math.ceil(seconds))
        again = f"Try again in {self.seconds} s."
        retry = {"Retry-After": str(self.seconds)}
        super().__init__(429, f"{detail} {again}", kind="too-many-requests", headers=retry, **members)


@asynccontextmanager
async def admitted(request: Request) -> AsyncIterator[None]:
    """Let in a request of the person whom authentication found, or of a stranger, while the block runs.

    Raises LimitReached, and DatabaseUnavailable if a stranger cannot be counted.
    """
    services = request.app.state.services
    person, asked = _person(request), (request.method, request.scope["path"])
    if person is None:
        await count_stranger(request)
    else:
        credential: Credential = request.state.credential
        callers = Caller(f"{credential.kind}:{credential.key}"), Caller(f"person:{person.id}", PERSON_FACTOR)
        await _take(request, services.limits, kind_of(*asked), callers)
    if person is None or is_stream(*asked) or services.limits.off:
        yield
        return
    try:
        async with services.turns.turn(person.id):
            yield
    except NoTurn:
        raise LimitReached("You sent too many requests at the same time.", 1, limit="at-once") from None


async def count_stranger(request: Request) -> None:
    """Count a request of somebody who is not signed in. Raises LimitReached, and DatabaseUnavailable."""
    kind = kind_of(request.method, request.scope["path"])
    counted = RequestKind.SIGN_IN if kind is RequestKind.SIGN_IN else RequestKind.OTHER
    where = Caller(f"address:{address_of(request)}", known=False)
    await _take(request, request.app.state.services.limits, counted, [where])


async def count_provider(request: Request) -> None:
    """Count a request of the identity provider that calls SCIM. Raises LimitReached."""
    await _take(request, request.app.state.services.limits, RequestKind.SCIM, [Caller("provider")])


def forgive(request: Request, number: int = 1) -> None:
    """Give back the request, and earlier ones that belong to it: a sign-in that succeeds does not count."""
    counted: Sequence[Bucket] = getattr(request.state, "counted", ())
    for bucket in counted:
        bucket.give_back(number)


def address_of(request: Request) -> str:
    """Return the network address of the client: an IPv4 address, or an IPv6 network."""
    host = request.client.host if request.client else ""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.version == 6 and address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address.packed, NETWORK), strict=False))
    return host


def _person(request: Request) -> Person | None:
    """Return the person whom authentication has found: the caller of the API, or the visitor of a page."""
    person: Person | None = getattr(request.state, "caller", None) or getattr(request.state, "visitor", None)
    return person


async def _take(request: Request, limits: RateLimits, kind: RequestKind, callers: Sequence[Caller]) -> None:
    try:
        request.state.counted = await limits.take(kind, callers)
    except TooManyRequests as no:
        whom = no.caller.name.partition(":")[0]
        from_whom = {"address": "from this network address", "person": "of you"}.get(whom, f"with this {whom}")
        raise LimitReached(
            f"There were too many {kind.meaning} {from_whom} in a short time.", no.seconds, limit=kind.value
        ) from None
