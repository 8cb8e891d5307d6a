"""The page Settings of a person: appearance, notifications, absence, password, passkeys, tokens and sessions.

`passkeys.py` beside this module has the forms of the passkeys.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from api.container import Services
from api.deps import Plain, TheServices
from api.http.problems import Problem
from api.http.step_up import Proof, check_password, is_fresh, is_fresh_at_provider
from api.http.ways_to_sign_in import check_passwords_on
from api.pages.parts.formatting import capital
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.pages.parts.token_end import end_of_day
from api.pages.parts.translation import _
from api.pages.people import by_field
from api.routes import absences as away, one_time_links, people as people_routes
from api.routes.absences import NewAbsence
from api.routes.people import NewToken
from api.services.relying_party import Obstacle, RelyingParty, obstacle, relying_party
from domain.notification import AccountNewsKind, NoticeChoice, NoticeKind
from domain.token_scopes import TokenScope
from store.notifications import account_news, choices
from store.notifications.account_news import AccountNews
from store.people import identities, page_preferences, passkeys, passwords, people, sessions
from store.people.absences import Absence
from store.people.identities import Identity
from store.people.passkeys import Passkey
from store.people.people import Person
from store.people.sessions import Session
from store.people.tokens import Token

router = pages()

Text = Annotated[Plain, Form(max_length=1000)]
Act = Literal["zone", "look", "away", "back", "notices", "token", "revoke", "link", "seen"]


@dataclass(frozen=True)
class SettingsPage(Context):
    """The variables of `settings/settings.html`: the present settings, and the outcome of the last form."""

    chosen: dict[NoticeKind, NoticeChoice]
    asked: dict[NoticeKind, str]
    when: dict[NoticeChoice, str]
    look: dict[str, str]
    absences: list[Absence]
    tokens: list[Token]
    scopes: list[str]
    """The scopes that a new token can have."""
    passkeys: list[Passkey]
    party: RelyingParty | None
    """The site of the passkeys; None if browsers refuse passkeys here."""
    obstacle: Obstacle | None
    """Why browsers refuse passkeys here."""
    asks_for_password: bool
    """True if a change of the passkeys needs the password, because the sign-in is not fresh."""
    identities: list[Identity]
    """The accounts of identity providers that sign in as the person."""
    provider: str
    """The name of the identity provider with which people sign in; empty without single sign-on."""
    sessions: list[Session]
    this_session: str
    proved_at_provider: bool
    """True if the person has just proven to the identity provider who they are, so that no password is needed."""
    has_password: bool
    """True if the person has a password, and passwords are not switched off."""
    mail_reaches_them: bool
    """True if mail reaches the person, so that Holdgate can send them a one-time link."""
    news: list[AccountNews]
    news_words: Callable[[AccountNews], str]
    browser: Callable[[str], str]
    """Returns the name of a browser from its User-Agent: see `browser` in this module."""
    act: str = ""
    """The name of the form that the person sent last; empty if none was sent."""
    done: str = ""
    wrong: str = ""
    shown_once: str = ""
    """A new token, which is shown only on this page."""
    typed: dict[str, str] = field(default_factory=dict)


@router.api_route("/settings", methods=["GET", "HEAD"])
async def settings(request: Request, person: SignedIn, services: TheServices) -> Response:
    """Show the settings of the person."""
    return render(request, "settings/settings.html", await settings_page(request, person, services))


@router.api_route("/notices", methods=["GET", "HEAD"])
async def notices(_person: SignedIn) -> Response:
    """Redirect to the page Settings. Older mails have links to the address of this route."""
    return RedirectResponse("/settings#notices", status_code=303)


@router.post("/settings/{act}", dependencies=[Depends(check_same_site)])
async def change(
    request: Request,
    act: Act,
    person: SignedIn,
    services: TheServices,
    value: Text = "",
    theme: Text = "",
    shortcuts: Text = "",
    starts: Annotated[Plain, Form(alias="from", max_length=40)] = "",
    ends: Annotated[Plain, Form(alias="to", max_length=40)] = "",
    substitute: Text = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    expires: Text = "",
) -> Response:
    """Change a setting of the person, as the JSON routes do, and show the outcome."""
    typed = {"value": value.strip(), "from": starts, "to": ends, "substitute": substitute.strip()}
    look = {"theme": theme, "shortcuts": shortcuts}
    sent = await request.form(max_fields=50)
    kinds = {name: str(choice) for name, choice in sent.items() if name in [*NoticeKind]}
    session = request.state.signed_in.session if request.state.signed_in else None
    token = {
        "password": password,
        "scopes": [str(each) for each in sent.getlist("scopes")] or None,
        "expires_at": end_of_day(expires),
    }
    try:
        done, shown_once = await _changed(person, act, typed, look, kinds, token, session, services)
    except (Problem, ValidationError, ValueError) as no:
        if isinstance(no, Problem) and no.status not in (403, 409, 422):
            raise
        wrong = " ".join(by_field(no).values()) if isinstance(no, Problem | ValidationError) else capital(f"{no}.")
        page = await settings_page(request, person, services, act=act, wrong=wrong, typed=typed)
        return render(request, "settings/settings.html", page, no.status if isinstance(no, Problem) else 422)
    if act in ("zone", "look", "seen"):  # the frame of this page depends on these settings
        return RedirectResponse(f"/settings#{act}", status_code=303)
    page = await settings_page(request, person, services, act=act, done=done, shown_once=shown_once)
    return render(request, "settings/settings.html", page)


async def _changed(
    person: Person,
    act: Act,
    typed: dict[str, str],
    look: dict[str, str],
    kinds: dict[str, str],
    token: dict[str, Any],
    session: Session | None,
    services: Services,
) -> tuple[str, str]:
    """Change the setting. Return the message for the page, and a secret that the page shows only once.

    `token` are the fields of the form for a new token, beside its label. `session` is that of the browser.
    """
    db, value = services.db, typed["value"]
    match act:
        case "zone":
            async with db.write() as conn:
                await people.set_time_zone(conn, person.id, value or None, by=person.id)
            return "", ""
        case "look":
            async with db.write() as conn:
                await page_preferences.choose(
                    conn, person.id, {name: choice for name, choice in look.items() if choice}
                )
            return "", ""
        case "away":
            new = NewAbsence(starts=typed["from"], ends=typed["to"], substitute=typed["substitute"] or None)
            await away.go_away(new, person, db)
            return _("Your absence is saved."), ""
        case "back":
            await away.come_back(person, db)
            return _("Your absence has ended."), ""
        case "notices":
            wanted = {NoticeKind(kind): NoticeChoice(choice) for kind, choice in kinds.items()}
            async with db.write() as conn:
                await choices.choose(conn, person.id, wanted)
            return _("Your notification settings are saved."), ""
        case "token":
            asked = NewToken.model_validate({"label": value, **token})
            if is_fresh_at_provider(session):
                proof = Proof(person.id, None)
            else:
                check_passwords_on(services.settings)
                proof = await check_password(db, person, asked.password)
            made = await people_routes.make_token(db, person, asked, proof)
            return _("Your new token, shown only once:"), made.token
        case "link":
            await one_time_links.send_link(person.id, person, services)
            return _("Holdgate sends the link to your e-mail address. The link works once, within 24 hours."), ""
        case "seen":
            async with db.write() as conn:
                await account_news.seen(conn, person.id, int(value) if value.isdecimal() and len(value) < 18 else 0)
            return "", ""
        case "revoke":
            await people_routes.revoke_mine(value, person, db)
            return _("The token is revoked."), ""


async def settings_page(request: Request, person: Person, services: Services, **more: Any) -> SettingsPage:
    """Return the variables of the page. `more` is the outcome of a form: the last fields of `SettingsPage`."""
    now = datetime.now(UTC)
    signed_in, off = request.state.signed_in, obstacle(services.settings)
    async with services.db.read() as conn:
        chosen = await choices.of(conn, person.id)
        look = await page_preferences.of(conn, person.id)
        own = await sessions.of(conn, person.id, now)
        own_passkeys = await passkeys.of(conn, person.id)
        accounts = await identities.of(conn, person.id)
        has_password = services.settings.passwords == "on" and await passwords.stored(conn, person.id) is not None
        news = await account_news.of(conn, person.id)
    return SettingsPage(
        person,
        chosen,
        _asked(),
        {NoticeChoice.AT_ONCE: _("at once"), NoticeChoice.DIGEST: _("once a day"), NoticeChoice.OFF: _("never")},
        look,
        (await away.my_absence(person, services.db)).items,
        [each for each in (await people_routes.my_tokens(person, services.db)).items if each.revoked_at is None],
        [scope.value for scope in TokenScope],
        own_passkeys,
        None if off else relying_party(services.settings),
        off,
        not is_fresh(person, signed_in.session if signed_in else None),
        accounts,
        services.settings.oidc_label if services.single_sign_on else "",
        own,
        signed_in.session.hash if signed_in else "",
        is_fresh_at_provider(signed_in.session if signed_in else None),
        has_password,
        one_time_links.sends_mail_to(services.settings, person),
        news,
        lambda each: _news_words(each, person.id),
        browser,
        **more,
    )


def browser(agent: str) -> str:
    """Return the name of a browser from its User-Agent: `Firefox, Linux`."""
    # The order matters: many browsers also send the names of those after them.
    names = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
    systems = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS": "Mac"}
    systems["Linux"] = "Linux"
    found = [next((name for sign, name in some.items() if sign in agent), "") for some in (names, systems)]
    return ", ".join(name for name in found if name) or agent[:60] or _("unknown browser")


def _news_words(news: AccountNews, reader: str) -> str:
    """Return a change of the reader's account as a sentence for the reader."""
    by = _("You") if news.by == reader else news.by
    said = {
        AccountNewsKind.LINK_ASKED: _("%(by)s requested a one-time link for you."),
        AccountNewsKind.LINK_READY: _("%(by)s sent you a one-time link."),
        AccountNewsKind.PASSWORD_SET: _("%(by)s set your password."),
        AccountNewsKind.PASSKEY_ADDED: _("%(by)s added a passkey to your account: %(about)s"),
        AccountNewsKind.PASSKEY_REMOVED: _("%(by)s removed a passkey from your account: %(about)s"),
        AccountNewsKind.PASSKEY_COPIED: _(
            "The passkey %(about)s was refused, because its counter went back. There may be a copy of the passkey. "
            "Remove the passkey, and add a new passkey."
        ),
        AccountNewsKind.IDENTITY_CONNECTED: _("%(by)s connected an account of %(about)s, which can sign in as you."),
        AccountNewsKind.IDENTITY_DISCONNECTED: _("%(by)s disconnected your account of %(about)s."),
        AccountNewsKind.LINK_PRINTED: _("%(by)s made a link on the server that signs in as you."),
        AccountNewsKind.TOKEN_MADE: _("%(by)s created an access token for your account: %(about)s"),
        AccountNewsKind.TOKEN_REVOKED: _("%(by)s revoked access tokens of your account: %(about)s"),
        AccountNewsKind.ADDRESS_SET: _("%(by)s changed your e-mail address."),
        AccountNewsKind.SUBSTITUTE_NAMED: _("%(by)s named your substitute: %(about)s"),
        AccountNewsKind.OWNER_NAMED: _("%(by)s made you an owner of this service account: %(about)s"),
        AccountNewsKind.ACCOUNT_SUSPENDED: _("This service account has no active owner and is suspended: %(about)s"),
        AccountNewsKind.ADMIN_ADDED: _("%(by)s made this person an administrator: %(about)s"),
        AccountNewsKind.MEMBER_ADDED: _("%(by)s added a member to a group: %(about)s"),
    }
    return said[news.kind] % {"by": by, "about": news.about}


def _asked() -> dict[NoticeKind, str]:
    return {
        NoticeKind.TASK_OPENED: _("A task needs my decision"),
        NoticeKind.TASK_REMINDED: _("A task is still open"),
        NoticeKind.TASK_NUDGED: _("A requester sends me a reminder"),
        NoticeKind.TASK_ESCALATED: _("A task is escalated to me"),
        NoticeKind.TASK_ASKED: _("Somebody asks me a question or answers my question"),
        NoticeKind.TASK_LOST: _("A task no longer needs my decision"),
        NoticeKind.TASK_DECIDED: _("Somebody decides on my request"),
        NoticeKind.TASK_EXPIRED: _("A task expires without a decision"),
        NoticeKind.CASE_ENDED: _("My request ends"),
    }
