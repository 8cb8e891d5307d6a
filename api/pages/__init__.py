"""Pages for people: HTML over the same functions as the JSON routes. GET and HEAD never change anything."""

from fastapi import APIRouter

from api.pages import audit, cases, docs, inbox, incidents, mappings, people, policy, settings, sign_in, tasks

router = APIRouter(include_in_schema=False)
for page in (inbox, sign_in, docs, tasks, cases, incidents, people, policy, mappings, audit, settings):
    router.include_router(page.router)
