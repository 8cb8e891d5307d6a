"""Answer errors as `application/problem+json` (RFC 9457). No error shows a stack trace."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
"""The `Retry-After` of problem 503: seconds after which a caller may try again if Temporal or the database did not
answer."""


class FieldError(BaseModel):
    """One error in a field of a request."""

    field: str = Field(examples=["input.amount"])
    message: str = Field(examples=["must be greater than 0"])


class ProblemBody(BaseModel):
    """The body of an error answer, as the OpenAPI document shows it.

    A problem may have more members, which its route documents.
    """

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Identifies the kind of problem", examples=["urn:holdgate:already-closed"])
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(description="One sentence for people", examples=["This task is closed already: approved."])
    errors: list[FieldError] | None = None


class Problem(Exception):
    """Raised to answer a request with an error.

    `kind` says for programs what happened, such as `already-closed`; `detail` says for people what happened. The answer
    contains all further members unchanged.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.body: dict[str, Any] = {
            "type": f"urn:holdgate:{kind}" if kind else "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            **members,
        }

    def response(self) -> JSONResponse:
        """Return the HTTP answer with this problem."""
        return JSONResponse(self.body, self.status, self.headers, media_type=MEDIA_TYPE)


def unauthenticated(why: str | None = None) -> Problem:
    """Return problem 401: the token is missing, unknown or revoked, or refused for the reason `why`."""
    return Problem(
        401,
        why
        or "Send an access token: 'Authorization: Bearer hg_...'. "
        "You create tokens on the page Settings or with a one-time link.",
        kind="unauthenticated",
        headers={"WWW-Authenticate": "Bearer"},
    )


def not_found(what: str) -> Problem:
    """Return problem 404: the item does not exist, or the caller may not see it.

    `what` is the kind of item, such as `task`.
    """
    return Problem(404, f"There is no such {what}, or you may not see it.", kind="not-found")


def forbidden(detail: str, rule: str) -> Problem:
    """Return problem 403: the caller may see the item but may not do the action. `rule` says who may do the action."""
    return Problem(403, detail, kind="not-allowed", rule=rule)


def invalid(detail: str, errors: Sequence[FieldError], **members: Any) -> Problem:
    """Return problem 422 with all errors of the request."""
    return Problem(422, detail, kind="invalid", errors=[error.model_dump() for error in errors], **members)


def unavailable(detail: str, **members: Any) -> Problem:
    """Return problem 503: the request cannot be answered now, and the caller may try again in a moment."""
    return Problem(503, detail, kind="unavailable", headers={"Retry-After": str(RETRY_AFTER_S)}, **members)


def temporal_unreachable(**members: Any) -> Problem:
    """Return problem 503: Temporal did not answer."""
    return unavailable("Temporal does not respond. No data was stored. Try again in a moment.", **members)


_INSTEAD = {
    (404, "Not Found"): "This address does not exist. Check the address.",
    (413, "Content Too Large"): "The request body is too large. Send a smaller one.",
}
"""Sentences in place of the words of Starlette, by status and these words. Holdgate's own texts are not replaced."""


def of_http_exception(error: HTTPException) -> Problem:
    """Return the problem of an error of the web framework, or of a refused body."""
    detail = _INSTEAD.get((error.status_code, error.detail), error.detail)
    return Problem(error.status_code, detail, headers=error.headers)


_WORDS = {
    400: "the body cannot be parsed, or is not complete",
    401: "no valid token",
    403: "you have no permission for this; `rule` says who has",
    404: "the item does not exist, or you may not see it",
    409: "the current state of the item does not allow the request",
    408: "the body took too long to arrive",
    413: "the body is too large",
    415: "not a kind of body that this route reads, or not UTF-8",
    422: "wrong input; `errors` names every field",
    428: "no `revision` was sent; the problem has the present revision of the task",
    429: "too many requests of the kind `limit`; `Retry-After` says when to try again",
    503: "Temporal or the database does not respond; `Retry-After` says when to try again",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the argument `responses` of a route, which documents these error statuses in the OpenAPI document."""
    schema = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    # The model is named so that FastAPI adds its schema. The content says that only problem+json is sent.
    return {status: {"description": _WORDS[status].capitalize(), "content": schema} for status in statuses}


ANY_ROUTE = documented(400, 401, 408, 413, 415, 422, 429, 503)
"""The documentation of the errors with which any route of the API can answer before the route's own code runs."""


def _field_error(error: Mapping[str, Any]) -> FieldError:
    # The first part of a location says query, path, header or body. Unreadable JSON has only a position.
    place = [] if error["type"] == "json_invalid" else error["loc"][1:]
    name = ".".join(str(part) for part in place) or "body"
    return FieldError(field=name, message=error["msg"].removeprefix("Value error, "))


AsPage = Callable[[Request, Problem], Response | None]


def install(app: FastAPI, as_page: AsPage) -> None:
    """Answer every error of the application with a problem document, or with a page if `as_page` returns one."""

    def said(request: Request, problem: Problem) -> Response:
        return as_page(request, problem) or problem.response()

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def wrong_request(_: Request, error: RequestValidationError) -> JSONResponse:
        return invalid("The request is not valid.", [_field_error(each) for each in error.errors()]).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return said(request, of_http_exception(error))

    @app.exception_handler(Exception)
    async def defect(request: Request, _error: Exception) -> Response:
        # Starlette raises the error again after this answer: the trace goes to the log and not to the caller.
        return said(
            request,
            Problem(
                500,
                "The gateway failed. Its log names the cause. Try again, and tell an operator if the error continues.",
            ),
        )
