"""What a person wants to be told, and when."""

from dataclasses import dataclass

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse

from api.deps import InHouse
from api.pages.page import Context, SignedIn, from_here, pages, render
from api.problems import FieldError, invalid
from store import choices
from workflows.models import NoticeChoice, NoticeKind

router = pages()

ASKED = {
    NoticeKind.TASK_OPENED: "Something waits for me",
    NoticeKind.TASK_REMINDED: "It still waits for me",
    NoticeKind.TASK_NUDGED: "Whoever asked for it reminds me",
    NoticeKind.TASK_ESCALATED: "Something was escalated to me",
    NoticeKind.TASK_ASKED: "Somebody asks me something, or answers me",
    NoticeKind.TASK_LOST: "What I was told of no longer waits for me",
    NoticeKind.TASK_DECIDED: "Somebody decided on what I asked for",
    NoticeKind.TASK_EXPIRED: "Nobody decided in time",
    NoticeKind.CASE_ENDED: "What I asked for has ended",
}
WHEN = {NoticeChoice.AT_ONCE: "at once", NoticeChoice.DIGEST: "once a day", NoticeChoice.OFF: "never"}


@dataclass(frozen=True)
class Notices(Context):
    """`notices.html`: one choice for each kind of notice."""

    chosen: dict[NoticeKind, NoticeChoice]
    asked: dict[NoticeKind, str]
    when: dict[NoticeChoice, str]


@router.api_route("/notices", methods=["GET", "HEAD"])
async def notices(request: Request, person: SignedIn, parts: InHouse) -> Response:
    """The choices as they are."""
    async with parts.db.read() as conn:
        chosen = await choices.of(conn, person.id)
    return render(request, "notices.html", Notices(person, chosen, ASKED, WHEN))


@router.post("/notices", dependencies=[Depends(from_here)])
async def choose(request: Request, person: SignedIn, parts: InHouse) -> Response:
    """Keep the choices of the form; a kind it does not name stays as it is."""
    form = await request.form(max_fields=50)
    try:
        wanted = {NoticeKind(kind): NoticeChoice(str(choice)) for kind, choice in form.items()}
    except ValueError as wrong:
        raise invalid("There is no such choice.", [FieldError(field="choices", message=str(wrong))]) from wrong
    async with parts.db.write() as conn:
        await choices.choose(conn, person.id, wanted)
    return RedirectResponse("/notices", status_code=303)
