"""Turn errors of submitting, of uploads and of the database into problem documents.

Routes need not catch the errors in `ANSWERED_ERRORS`. For refusals by a running case, such as a decision that comes too
late, `api/gateway/refusal_problems.py` makes the problem document.
"""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from api.http.problems import FieldError, Problem, forbidden, invalid, temporal_unreachable, unavailable
from cases.rollback import NotRollable
from cases.start_permission import NotARequester
from cases.submit import DuplicateCase, InvalidCase, NoPolicy, NotResubmittable, TemporalUnavailable
from core.errors import PayloadErased, PayloadKeyMissing
from domain.erasure import CODE, ContentErased, NotErasable
from domain.moments import rfc3339
from intake.mapping.column_mapping import WrongMapping
from intake.parsing.parsing_pool import LineTooLong, ParserEnded
from intake.tables.open_table import UnreadableFile
from store.db.database import DatabaseUnavailable, UnusableValue
from workflows.registry import PROCESSES, UnknownProcess

_log = logging.getLogger("holdgate.api")


def problem_of_error(error: Exception) -> Problem:
    """Return the problem document for one of `ANSWERED_ERRORS`. Raises ValueError for any other error."""
    match error:
        case UnknownProcess():
            names = list(PROCESSES)
            return invalid(str(error), [FieldError(field="process", message=f"one of {', '.join(names)}")], known=names)
        case NotARequester():
            return forbidden(f"{error}.", error.rule)
        case NoPolicy():
            return invalid(str(error), [FieldError(field="process", message="has no section in the policy")])
        case InvalidCase():
            errors = [FieldError(field=each.column or "input", message=each.message) for each in error.problems]
            return invalid("The case is not valid. Correct the fields in `errors` and send the case again.", errors)
        case ContentErased():
            return Problem(409, f"{error}.", kind="erased", code=CODE, erased_at=rfc3339(error.erased_at))
        case NotErasable():
            return Problem(409, str(error), kind="not-erasable")
        case NotRollable():
            return Problem(409, str(error), kind="not-rollable")
        case NotResubmittable():
            return Problem(409, str(error), kind="not-resubmittable")
        case DuplicateCase():
            known: dict[str, Any] = {}
            if error.existing:
                known = {"case_status": error.existing.status, "differs": error.differs}
            return Problem(409, str(error), kind="duplicate-case", case_id=error.case_id, **known)
        case UnreadableFile():
            where: dict[str, Any] = {"line": error.line, "column": None} if error.line else {"field": "file"}
            status = 413 if error.kind == "too_large" else 422
            return Problem(
                status, str(error), kind="unreadable-file", reason=error.kind, errors=[{**where, "message": str(error)}]
            )
        case WrongMapping():
            wrong = [
                FieldError(field=f"mapping.{each.column}" if each.column else "mapping", message=each.message)
                for each in error.problems
            ]
            return invalid("The mapping cannot be used for this file. Correct the mapping: see `errors`.", wrong)
        case LineTooLong() | ParserEnded():
            return unavailable(f"Nothing was started: {error}.")
        case TemporalUnavailable():
            return temporal_unreachable()
        case PayloadErased():
            said = "The data of this case were erased, so nothing can be done with the case."
            return Problem(409, said, kind="erased", code="Erased")
        case PayloadKeyMissing():
            _log.error("%s", error)
            return unavailable("The key that encrypts this case is missing. Tell an operator; try again later.")
        case UnusableValue():
            # The type of the route should have named the field. An error without a location is a defect of Holdgate.
            _log.warning("a value reached the database that it cannot take: %s", type(error.__cause__).__name__)
            return invalid(f"The request cannot be answered: {error}.", [])
        case DatabaseUnavailable():
            return unavailable("The database does not answer; try again in a moment.")
    raise ValueError(f"{type(error).__name__} is not a refusal")


ANSWERED_ERRORS = (
    ContentErased,
    NotErasable,
    UnknownProcess,
    NoPolicy,
    NotARequester,
    InvalidCase,
    NotResubmittable,
    NotRollable,
    DuplicateCase,
    UnreadableFile,
    WrongMapping,
    LineTooLong,
    ParserEnded,
    TemporalUnavailable,
    PayloadErased,
    PayloadKeyMissing,
    DatabaseUnavailable,
    UnusableValue,
)
"""The exceptions for which `problem_of_error` has a problem document.

An exception that neither this module nor `api/http/problems.py` handles is a defect: the answer is 500.
"""


def install(app: FastAPI) -> None:
    """Register handlers for the exceptions in `ANSWERED_ERRORS`."""

    async def refusal(_: Request, error: Exception) -> JSONResponse:
        return problem_of_error(error).response()

    for kind in ANSWERED_ERRORS:
        app.add_exception_handler(kind, refusal)
