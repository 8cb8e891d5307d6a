"""All pages: HTML over the functions of the JSON routes. GET and HEAD never change anything."""

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
    mappings,
    new_request,
    one_time_link,
    people,
    policy,
    requests,
    search,
    settings,
    sign_in,
    tasks,
    upload,
)

router = APIRouter(include_in_schema=False)
for page in (
    inbox,
    events,
    sign_in,
    one_time_link,
    docs,
    tasks,
    cases,
    incidents,
    ledger,
    people,
    policy,
    mappings,
    audit,
    settings,
    dashboard,
    requests,
    new_request,
    batches,
    search,
):
    router.include_router(page.router)
uploads = APIRouter(include_in_schema=False)
"""Routes with a whole file. Their bodies may be larger."""
uploads.include_router(upload.router)
attachments = APIRouter(include_in_schema=False)
"""Routes with one file of a case."""
attachments.include_router(cases.files)
