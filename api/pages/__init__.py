"""Pages for people: HTML over the same functions as the JSON routes. GET and HEAD never change anything."""

from fastapi import APIRouter

from api.pages import cases, docs, events, inbox, incidents, notices, sign_in, tasks

router = APIRouter(include_in_schema=False)
for page in (inbox, events, sign_in, docs, tasks, cases, incidents, notices):
    router.include_router(page.router)
