"""Pages of people: the list of people, one person with the forms to change them, and the groups."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Depends, Form, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from api.deps import Db, Plain, TheServices
from api.http.exception_handlers import ANSWERED_ERRORS, problem_of_error
from api.http.problems import Problem
from api.http.security import admin, is_in, people_reader
from api.pages.parts.erasure import ErasureContext, erasure_context
from api.pages.parts.formatting import in_path
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.pages.parts.translation import _, ngettext
from api.routes import absences as leavers, identities, one_time_links, passkeys, people
from api.routes.absences import Departure, NewAbsence, Replacement, Return
from api.routes.erasure import ErasureOfPerson, erase_person
from api.routes.identities import IdentityItem
from api.routes.one_time_links import MadeLink
from api.routes.passkeys import PasskeyItem
from api.routes.people import NewPerson, PersonChanges
from domain.names import ADMINS
from store.people.absences import Absence
from store.people.one_time_links import OneTimeLink
from store.people.people import Person
from store.people.people_list import RosterEntry, RosterGroup
from store.people.tokens import Token

router = pages()

PersonId = Annotated[Plain, Path(max_length=200)]
Text = Annotated[Plain, Form(max_length=4000)]
Act = Literal[
    "email",
    "manager",
    "zone",
    "join",
    "leave",
    "away",
    "back",
    "replace",
    "deactivate",
    "reactivate",
    "revoke",
    "revoke-all",
    "remove-passkey",
    "disconnect",
    "link",
    "confirm-link",
    "withdraw-link",
    "unlock",
    "sign-out",
    "erase",
]


@dataclass(frozen=True)
class PeoplePage(Context):
    """`people/list.html`: a page of the list, and the form for a new person."""

    entries: list[RosterEntry]
    sought: dict[str, str]
    address: str
    next_cursor: str | None
    first: bool
    may_change: bool
    links: list[OneTimeLink]
    """One-time links that wait for the confirmation of a second administrator."""
    typed: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    """The errors of the form, by field."""
    new_group: str = ""
    """The group without members that needs a confirmation."""


@dataclass(frozen=True)
class GroupsPage(Context):
    """The variables of `people/groups.html`: the groups with their members."""

    groups: list[RosterGroup]


@dataclass(frozen=True)
class PersonPage(Context):
    """`people/person.html`: one person, and the outcome of the last form."""

    entry: RosterEntry
    tokens: list[Token]
    passkeys: list[PasskeyItem]
    identities: list[IdentityItem]
    absences: list[Absence]
    links: list[OneTimeLink]
    """One-time links that wait for a second administrator, or can be used."""
    groups: list[str]
    """The names of the groups whose members are set here, from which the reader can choose."""
    may_change: bool
    erasure: ErasureContext
    act: str = ""
    """The name of the form that the reader sent last; empty if none was sent."""
    done: str = ""
    wrong: str = ""
    shown_once: str = ""
    """The administrator's half of the code of a one-time link, which is shown only on this page."""
    typed: dict[str, str] = field(default_factory=dict)
    new_group: str = ""
    """The group without members that needs a confirmation."""


@router.api_route("/people", methods=["GET", "HEAD"])
async def everybody(
    request: Request,
    person: SignedIn,
    db: Db,
    q: Annotated[Plain, Query(max_length=200)] = "",
    group: Annotated[Plain, Query(max_length=200)] = "",
    cursor: Annotated[Plain | None, Query(max_length=200)] = None,
) -> Response:
    """Show the list of people."""
    await people_reader(person)
    return render(request, "people/list.html", await _everybody(person, db, q.strip(), group.strip(), cursor))


@router.post("/people", dependencies=[Depends(check_same_site)])
async def add(
    request: Request,
    person: SignedIn,
    services: TheServices,
    id: Text = "",
    name: Text = "",
    groups: Text = "",
    email: Text = "",
    confirm: Text = "",
) -> Response:
    """Add a person, as the JSON route does, and redirect to the page of the new person."""
    await admin(person)
    typed = {"id": id.strip(), "name": name.strip(), "groups": groups.strip(), "email": email.strip()}
    try:
        new = NewPerson(
            id=typed["id"], name=typed["name"], groups=_groups(typed["groups"]), email=typed["email"] or None
        )
        # Only the groups of the confirmed form count as confirmed.
        added = await people.add_person(new, person, services, confirm=bool(confirm) and confirm == typed["groups"])
    except (Problem, ValidationError) as no:
        more = {"typed": typed, "wrong": by_field(no), "new_group": _new_group(no)}
        page = await _everybody(person, services.db, "", "", None, **more)
        return render(request, "people/list.html", page, 422)
    return RedirectResponse(f"/people/{in_path(added.id)}", status_code=303)


@router.api_route("/groups", methods=["GET", "HEAD"])
async def groups(request: Request, person: SignedIn, db: Db) -> Response:
    """Show the groups with their members."""
    await people_reader(person)
    return render(request, "people/groups.html", GroupsPage(person, (await people.list_groups(person, db)).items))


@router.api_route("/people/{person_id}", methods=["GET", "HEAD"])
async def somebody(request: Request, person_id: PersonId, person: SignedIn, services: TheServices) -> Response:
    """Show one person."""
    await people_reader(person)
    return render(request, "people/person.html", await _somebody(person, services, person_id))


@router.post("/people/{person_id}/{act}", dependencies=[Depends(check_same_site)])
async def change(
    request: Request,
    person_id: PersonId,
    act: Act,
    person: SignedIn,
    services: TheServices,
    value: Text = "",
    starts: Annotated[Plain, Form(alias="from", max_length=40)] = "",
    ends: Annotated[Plain, Form(alias="to", max_length=40)] = "",
    substitute: Text = "",
    reason: Text = "",
    confirm: Text = "",
    sure: Text = "",
) -> Response:
    """Change a person, as the JSON routes do, and show the outcome on the person's page."""
    await admin(person)
    value, substitute, reason = value.strip(), substitute.strip(), reason.strip()
    typed = {"value": value, "from": starts, "to": ends, "substitute": substitute, "reason": reason}
    typed |= {"confirm": confirm.strip(), "sure": sure.strip()}
    try:
        done, shown_once = await _changed(person, person_id, act, typed, services)
    except (Problem, ValidationError, *ANSWERED_ERRORS) as refused:
        no = refused if isinstance(refused, Problem | ValidationError) else problem_of_error(refused)
        # A caller who is no administrator was refused by `admin` above. So this 403 is about the form, and is shown
        # there.
        if isinstance(no, Problem) and no.status not in (403, 409, 422):
            raise
        more = {"wrong": " ".join(by_field(no).values()), "typed": typed, "new_group": _new_group(no)}
        page = await _somebody(person, services, person_id, act=act, **more)
        return render(request, "people/person.html", page, no.status if isinstance(no, Problem) else 422)
    page = await _somebody(person, services, person_id, act=act, done=done, shown_once=shown_once)
    return render(request, "people/person.html", page)


async def _changed(by: Person, id: str, act: Act, typed: dict[str, str], services: TheServices) -> tuple[str, str]:
    """Change the person. Return the message for the page, and a secret that the page shows only once."""
    db, value = services.db, typed["value"]
    match act:
        case "email":
            await people.change_person(id, PersonChanges(email=value or None), by, db)
            return (
                _("Holdgate now sends mail to the new address.")
                if value
                else _("Holdgate no longer sends mail to this person.")
            ), ""
        case "manager":
            await people.change_person(id, PersonChanges(manager=value or None), by, db)
            return _("The manager was changed."), ""
        case "zone":
            await people.change_person(id, PersonChanges(time_zone=value or None), by, db)
            return _("The time zone was changed."), ""
        case "join":
            await people.join_group(id, value, by, services, confirm=typed["confirm"] == value)
            return _("The person is now a member of %(group)s.", group=value), ""
        case "leave":
            await people.leave_group(id, value, by, db)
            return _("The person is no longer a member of %(group)s.", group=value), ""
        case "away":
            new = NewAbsence(starts=typed["from"], ends=typed["to"], substitute=typed["substitute"] or None)
            await leavers.send_away(id, new, by, db)
            return _("The absence is saved."), ""
        case "back":
            await leavers.call_back(id, by, db)
            return _("The absence has ended."), ""
        case "replace":
            left = await leavers.replace(id, Replacement(by=value, reason=typed["reason"]), by, services)
            refused = sum(item.status == "refused" for item in left.items)
            handed = len(left.items) - refused
            said = ngettext("%(num)s open task was reassigned.", "%(num)s open tasks were reassigned.", handed)
            again = (
                _("%(number)s tasks could not be reassigned: try again when a worker is running.", number=refused)
                if refused
                else ""
            )
            return f"{said} {again}".strip(), ""
        case "deactivate":
            await leavers.deactivate(id, Departure(reason=typed["reason"]), by, db)
            return _("The person is deactivated, without a successor."), ""
        case "reactivate":
            back = Return(groups=_groups(value))
            await leavers.reactivate(id, back, by, services, confirm=bool(value) and typed["confirm"] == value)
            return _("The person is active again. Send a one-time link to the person."), ""
        case "revoke":
            await people.revoke_one(id, value, by, db)
            return _("The token is revoked."), ""
        case "revoke-all":
            await people.revoke_all(id, by, db)
            return _("All access tokens of this person are revoked."), ""
        case "remove-passkey":
            await passkeys.remove_passkey(id, value, by, db)
            return _("The passkey is removed. The person cannot sign in with the passkey any more."), ""
        case "disconnect":
            await identities.disconnect(id, value, by, db)
            return _("The account is disconnected. It cannot sign in as this person any more."), ""
        case "link":
            return _said_of(await one_time_links.send_link(id, by, services))
        case "confirm-link":
            return _said_of(await one_time_links.confirm_link(value, by, db))
        case "withdraw-link":
            await one_time_links.withdraw_link(value, by, db)
            return _("The link is withdrawn and no longer works."), ""
        case "unlock":
            await people.unlock(id, by, db)
            return _("The person can sign in again."), ""
        case "sign-out":
            await people.end_sessions(id, by, db)
            return _("All sessions of this person have ended."), ""
        case "erase":
            if not typed["sure"]:
                raise Problem(422, _("Confirm that nobody can restore it."))
            wanted = ErasureOfPerson(reason=typed["reason"], cases=value == "cases")
            asked = await erase_person(id, wanted, by, services)
            return _("The erasure is requested: %(id)s. People must approve it.", id=asked.request_id), ""


def _said_of(link: MadeLink) -> tuple[str, str]:
    """Return the message for a sent or confirmed link, and a secret that the page shows only once."""
    if link.half:
        said = _(
            "Your half of the code, shown only once. Give your half to the person yourself. "
            "Another administrator has the other half."
        )
        return said, link.half
    if link.status == "waiting":
        return _(
            "Another administrator must confirm the link. Then Holdgate sends the link to the stored e-mail address."
        ), ""
    return _("Holdgate sends the link to the stored e-mail address. The link works once, within 24 hours."), ""


async def _everybody(person: Person, db: Db, q: str, group: str, cursor: str | None, **more: Any) -> PeoplePage:
    found = await people.list_people(person, db, q=q or None, group=group or None, cursor=cursor)
    sought = {"q": q, "group": group}
    query = urlencode({name: text for name, text in sought.items() if text})
    address = f"/people?{query}" if query else "/people"
    may_change = is_in(person, ADMINS)
    links = [link for link in (await one_time_links.list_links(person, db)).items if link.status == "waiting"]
    return PeoplePage(
        person, found.items, sought, address, found.next_cursor, cursor is None, may_change, links, **more
    )


async def _somebody(person: Person, services: TheServices, id: str, **more: Any) -> PersonPage:
    db = services.db
    entry = await people.one_person(id, person, db)
    tokens = (await people.tokens_of(id, person, db)).items
    keys = (await passkeys.passkeys_of(id, person, db)).items
    accounts = (await identities.identities_of(id, person, db)).items
    absences = (await leavers.absence(id, person, db)).items
    groups = [each.group for each in (await people.list_groups(person, db)).items if each.provider is None]
    links = [link for link in (await one_time_links.list_links(person, db)).items if link.person == id]
    may_change = is_in(person, ADMINS)
    erasure = await erasure_context(
        services,
        person,
        "person",
        id,
        f"/people/{in_path(id)}",
        erased_at=entry.erased_at,
        may_ask=may_change,
        ended=not entry.active,
    )
    return PersonPage(person, entry, tokens, keys, accounts, absences, links, groups, may_change, erasure, **more)


def _groups(typed: str) -> list[str]:
    """Return the names of groups in a text, which are separated by commas or spaces."""
    return typed.replace(",", " ").split()


def _new_group(no: Problem | ValidationError) -> str:
    return str(no.body.get("new_group", "")) if isinstance(no, Problem) else ""


def by_field(no: Problem | ValidationError) -> dict[str, str]:
    """Return the errors of the form, by field."""
    if isinstance(no, ValidationError):
        return {str(error["loc"][0]): _("The value is missing or too long.") for error in no.errors()}
    found = {error["field"]: error["message"] for error in no.body.get("errors") or ()}
    return found or {"": no.body["detail"]}
