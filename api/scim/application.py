"""The SCIM server: the protocol of scim2-server over the people and groups of Holdgate.

Import this module where a request needs it: the library takes half a second.
"""

import asyncio
import json
import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    Error,
    ETag,
    External,
    Filter,
    Group,
    InvalidFilterException,
    InvalidSyntaxException,
    InvalidValueException,
    Patch,
    PatchOp,
    PatchOperation,
    Reference,
    ResourceType,
    SCIMException,
    ScimPolicy,
    ScimProvider,
    SearchRequest,
    ServiceProviderConfig,
    Sort,
)
from scim2_server.applications.asgi import ASGIApplication, Receive, Scope, Send
from scim2_server.handler import AsyncScimHandler
from scim2_server.requests import ScimRequest
from scim2_server.responses import ScimResponse
from scim2_server.service import ScimService
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.http.problems import RETRY_AFTER_S
from api.scim.resources import User
from api.scim.storage import Storage
from domain import strict_json
from store.db.database import Database, DatabaseUnavailable, UnusableValue

MAX_BODY_BYTES = 1024 * 1024
"""The most bytes of a request: a group with some 8,000 members."""
MAX_FILTER = 1_000
"""The most characters of a filter."""
MAX_OPERATIONS = 1_000
"""The most operations of a PATCH."""
MAX_RESULTS = 200
"""The most resources of one answer."""

_log = logging.getLogger("holdgate.scim")

_CONFIG = ServiceProviderConfig(
    patch=Patch(supported=True),
    bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
    filter=Filter(supported=True, max_results=MAX_RESULTS),
    change_password=ChangePassword(supported=False),
    sort=Sort(supported=False),
    etag=ETag(supported=True),
    authentication_schemes=[
        AuthenticationScheme(
            type=AuthenticationScheme.Type.oauthbearertoken,
            name="OAuth Bearer Token",
            description="The value of the setting HOLDGATE_SCIM_TOKEN",
            spec_uri=Reference[External]("https://datatracker.ietf.org/doc/html/rfc6750"),
        )
    ],
)
_POLICY = ScimPolicy(
    # What Okta and Entra send: attributes of other schemas, a PATCH that removes members by value, and a path whose
    # filter matches nothing yet.
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
PROVIDER = ScimProvider([User, Group], None, _CONFIG, _POLICY)


class TooLarge(SCIMException):
    """Raised for a body with more than `MAX_BODY_BYTES` bytes."""

    status = 413
    _default_detail = (
        f"The body has more than {MAX_BODY_BYTES:,} bytes. Send the members of a group in parts, by PATCH."
    )


class BoundedService(ScimService):
    """The protocol, with limits for what one request may ask."""

    def read_search(self, resource_types: list[ResourceType], payload: Any) -> tuple["SearchRequest[Any]", Any]:
        """Validate a search. Raises InvalidFilterException for a filter that is too long."""
        given = payload.items() if isinstance(payload, dict) else ()
        if any(str(name).lower() == "filter" and len(str(value)) > MAX_FILTER for name, value in given):
            raise InvalidFilterException(detail=f"The filter has more than {MAX_FILTER} characters")
        return super().read_search(resource_types, payload)

    def read_patch(self, resource_type: ResourceType, body: bytes, content_type: str | None) -> "PatchOp[Any]":
        """Validate a PATCH. Raises InvalidValueException for too many operations."""
        patch = super().read_patch(resource_type, body, content_type)
        if len(patch.operations or []) > MAX_OPERATIONS:
            raise InvalidValueException(detail=f"Operations: send at most {MAX_OPERATIONS} operations in one request")
        for operation in patch.operations or []:
            if operation.op is PatchOperation.Op.remove and isinstance(operation.value, list):
                operation.value = [_selecting(each) for each in operation.value]
        return patch


def _selecting(value: Any) -> Any:
    """Return what a value to remove says about the entry to remove.

    Entra sends `"$ref": null` beside the id of a member. The library would look for an entry without `$ref`, find none,
    and leave the member in the group.
    """
    if not isinstance(value, dict):
        return value
    return {name: each for name, each in value.items() if each is not None and name not in ("$ref", "display")}


class ScimApplication(ASGIApplication):
    """The SCIM server of a gateway, for a caller who has shown the token."""

    def __init__(self, db: Database, base_url: str) -> None:
        """Serve the database. `base_url` is the address of the server for the provider, as it is in answers."""
        super().__init__(Storage(db, changes=False), PROVIDER, BoundedService(PROVIDER))
        self._db, self._base_url = db, base_url
        self._changing = asyncio.Lock()
        """Held by the request that changes something: other requests wait here, and not each with a connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = self._request_of(scope)
        try:
            request.body = await _body(receive)
            response = await self.dispatch_request(request)
        except Exception as exception:
            response = self.handle_exception(request, exception)
        response = self.finalize_response(request, response)
        # Not by `send_response` of the library, whose names of headers have capitals, against the ASGI specification.
        content = b"" if response.body is None else json.dumps(response.body).encode()
        await Response(content, response.status, response.headers)(scope, receive, send)

    def _request_of(self, scope: Scope) -> ScimRequest:
        """Return the request without its body. The address is the setting and not `Host`, which any client can set."""
        return ScimRequest(
            method=scope["method"],
            base_url=self._base_url,
            path=self.split_path(self.get_path(scope)),
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        )

    async def dispatch_request(self, request: ScimRequest) -> ScimResponse:
        """Serve a request in a transaction of its own."""
        reads = request.method.upper() == "GET" or request.path.endswith("/.search")
        if request.body:
            _check_json(request.body)
        handler = AsyncScimHandler(self.service, Storage(self._db, changes=not reads))
        if reads:
            return await handler.handle(request)
        async with self._changing:
            return await handler.handle(request)

    def handle_exception(self, request: ScimRequest, exception: Exception) -> ScimResponse:  # noqa: ARG002
        """Return the answer for an error. The log names only its status, because a detail may hold an address."""
        match exception:
            case SCIMException():
                response = self.service.error_response(exception)
            case HTTPException():
                response = _error(exception.status_code, exception.detail)
            case UnusableValue():
                response = _error(400, "A value has characters that cannot be stored", "invalidValue")
            case DatabaseUnavailable():
                response = _error(503, "The database does not answer; try again in a moment.")
                response.headers["Retry-After"] = str(RETRY_AFTER_S)
            case _:
                _log.exception("a SCIM request failed")
                return self.service.error_response(exception)
        _log.info("a SCIM request was answered with %d", response.status)
        return response


def _error(status: int, detail: str, scim_type: str | None = None) -> ScimResponse:
    return ScimResponse(HTTPStatus(status), Error(status=status, detail=detail, scim_type=scim_type).model_dump())


async def _body(receive: Receive) -> bytes:
    """Return the body of a request. Raises TooLarge, HTTPException for a body that is too slow or not complete."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge
        more = message.get("more_body", False)
    return bytes(body)


def _check_json(body: bytes) -> None:
    """Raise InvalidSyntaxException for JSON that is invalid, nested too deeply, or has a key twice."""
    try:
        strict_json.loads(body.decode())
    except (ValueError, RecursionError) as wrong:
        detail = "it is nested too deeply" if isinstance(wrong, RecursionError) else str(wrong)
        raise InvalidSyntaxException(detail=f"The body is not valid JSON: {detail}") from wrong
