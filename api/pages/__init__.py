"""Pages for people: HTML over the same functions as the JSON routes. GET and HEAD never change anything."""

from fastapi import APIRouter

from api.pages import audit, cases, home, incidents, notices, sign_in, tasks

router = APIRouter(include_in_schema=False)
for page in (home, sign_in, tasks, cases, incidents, notices, audit):
    router.include_router(page.router)
