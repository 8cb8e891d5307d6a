"""What a row of the tables of routes and pages says, and how its request is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2

from tests.authorization.permissions import Answer, What
from tests.authorization.things import Ids, Things, filled, path_of

FILE = {"file": ("order.txt", b"An order", "text/plain")}
SHEET = {
    "file": ("good.csv", b"reference,payee,amount,currency,account\nX-1,Somebody,1.00,GBP,operating\n", "text/csv")
}


@dataclass(frozen=True)
class Row:
    """A request that succeeds if its caller may send it.

    Names in braces, such as `{task_id}`, stand for ids of the thing, in the address and in every text. A name that the
    thing does not have stays as it is, as an id that does not exist. `{key}` and `{number}` are new in each request.
    """

    what: What
    thing: str = ""
    """The name of the method of `Things` that makes what the request is about."""
    json: Any = None
    """The JSON body, or a function that returns it."""
    form: Mapping[str, Any] = field(default_factory=dict)
    files: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    keeps: bool = False
    """True if the same request would succeed again, so that the thing is not used up."""
    refused: int = 0
    """The status with which the request may be refused for a reason that does not depend on the caller."""
    ends_sessions: bool = False
    """True if the caller is signed out by the request."""

    async def ids(self, things: Things, person: str) -> Ids:
        return await things.ids(self.thing, person)

    def request(self, ids: Ids) -> dict[str, Any]:
        """Return the arguments of the HTTP client, besides the method and the address."""
        content: dict[str, Any] = {"params": filled(dict(self.query), ids)}
        if self.json is not None:
            content["json"] = filled(self.json() if callable(self.json) else self.json, ids)
        if self.form or self.files:
            content["data"] = filled(dict(self.form), ids)
        if self.files:
            content["files"] = self.files
        return content


@dataclass(frozen=True)
class Place:
    """A route of the API, or a page, or an action of a page: the key of a row."""

    method: str
    path: str
    act: str = ""
    """The value of the form's field `act`, for a page whose actions have the same address."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}{f' act={self.act}' if self.act else ''}"

    @classmethod
    def named(cls, name: str) -> "Place":
        method, path, *act = name.split()
        return cls(method, path, act[0].removeprefix("act=") if act else "")

    @property
    def of_api(self) -> bool:
        """True if programs use the route, and browsers do not."""
        return self.path.startswith(("/api/", "/codec/", "/health/", "/metrics"))

    @property
    def safe(self) -> bool:
        return self.method in ("GET", "HEAD")


Rows = Mapping[str, Row]


async def send(client: httpx2.AsyncClient, place: Place, row: Row, ids: Ids, **more: Any) -> httpx2.Response:
    """Send the request of a row, without following redirects. The client keeps no cookies of the answer."""
    content = row.request({"key": f"key-{uuid4().hex[:12]}", "number": str(uuid4().int % 10**6 + 1), **ids})
    if place.act:
        content["data"] = {**content.get("data", {}), "act": place.act}
    answer = await client.request(place.method, path_of(place.path, ids), **content, **more)
    client.cookies.clear()
    return answer


def met(answer: httpx2.Response, place: Place, row: Row) -> Answer | int:
    """Return which answer of the table this was; the status of any other answer."""
    match answer.status_code:
        case status if status == row.refused:
            return Answer.YES
        case 401:
            return Answer.SIGN_IN
        case 403:
            return Answer.NO
        case 404:
            return Answer.HIDDEN
        case 200 if 'action="/sign-in"' in answer.text and place.path != "/sign-in":
            return Answer.SIGN_IN
        case status if status < 400:
            return Answer.YES
        case status:
            return status
