"""The codec server: decodes payloads for Temporal's Web UI and command line. It never encodes."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from google.protobuf import json_format
from temporalio.api.common.v1 import Payloads

from api.deps import Db
from api.http.codec_access import CODEC, Decoder, Keys
from api.http.problems import FieldError, Problem, documented, invalid
from api.http.strict_requests import KNOWN_PARAMETERS
from api.services import payload_decoding as service
from api.services.payload_decoding import MOST_PAYLOADS

MOST_BYTES = 4 * 1024 * 1024
"""The most bytes in the body of a request. The largest payload that Temporal stores fits."""

router = APIRouter(prefix=CODEC, tags=["codec"], dependencies=KNOWN_PARAMETERS)


@router.post(
    "/decode",
    responses=documented(401, 403, 404, 408, 413, 422, 429, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def decode(
    request: Request,
    keys: Keys,
    person: Decoder,
    db: Db,
    preserve_storage_refs: Annotated[
        str | None, Query(alias="preserveStorageRefs", max_length=10, description="Has no effect")
    ] = None,
) -> Response:
    """Decode payloads of cases whose process you operate, and record that you did. Body and answer are JSON `Payloads`.

    Payloads of other cases stay as they are. A payload whose data were erased becomes the text `(erased)`.
    """
    del preserve_storage_refs  # Holdgate uses no external storage.
    found = _payloads(await request.body())
    answer = Payloads(payloads=await service.decoded(db, keys, person, found.payloads))
    return Response(json_format.MessageToJson(answer), media_type="application/json")


@router.post("/encode", responses=documented(404))
async def encode() -> None:
    """Answer 404: nobody can write payloads through this server, so the messages of a case stay genuine."""
    said = "This server only decodes. Send decisions and other messages to cases through Holdgate."
    raise Problem(404, said, kind="decodes-only")


def _payloads(body: bytes) -> Payloads:
    """Return the payloads in a body. Raises Problem 422 for a body that is no JSON `Payloads`, or has too many."""
    try:
        found = json_format.Parse(body, Payloads(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError):
        errors = [FieldError(field="body", message="must be JSON of temporal.api.common.v1.Payloads")]
        raise invalid("The body cannot be read.", errors) from None
    if len(found.payloads) > MOST_PAYLOADS:
        errors = [FieldError(field="payloads", message=f"has more than {MOST_PAYLOADS:,} payloads: send fewer at once")]
        raise invalid("There are too many payloads.", errors)
    return found
