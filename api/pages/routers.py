"""List the routers of all pages. GET and HEAD requests of pages never change data."""

from fastapi import APIRouter

from api.pages import (
    audit,
    batches,
    cases,
    dashboard,
    docs,
    events,
    inbox,
    incidents,
    ledger,
    legal_holds,
    mappings,
    new_request,
    one_time_link,
    passkeys,
    people,
    policy,
    requests,
    reveal,
    search,
    service_accounts,
    settings,
    sign_in,
    sign_out,
    single_sign_on,
    tasks,
    upload,
)

router = APIRouter(include_in_schema=False)
for page in (
    inbox,
    events,
    sign_in,
    sign_out,
    single_sign_on,
    one_time_link,
    docs,
    tasks,
    reveal,
    cases,
    incidents,
    ledger,
    legal_holds,
    people,
    service_accounts,
    policy,
    mappings,
    audit,
    settings,
    passkeys,
    dashboard,
    requests,
    new_request,
    batches,
    search,
):
    router.include_router(page.router)
uploads = APIRouter(include_in_schema=False)
"""Routes of forms with a file to import. The bodies of these forms may be larger than those of other forms."""
uploads.include_router(upload.router)
attachments = APIRouter(include_in_schema=False)
"""Routes of forms with an attachment of a case. The bodies of these forms may be as large as an attachment."""
attachments.include_router(cases.files)
