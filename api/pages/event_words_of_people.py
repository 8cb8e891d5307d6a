"""The wording of events that belong to no case: events of people, sign-in, the policy and the ledger."""

from decimal import Decimal, InvalidOperation

from api.pages.event_words_of_cases import Told, Wording, moment
from api.pages.parts.formatting import provider_named, readable
from api.pages.parts.translation import _, ngettext
from domain.event_kinds import EventKind
from domain.money import in_words


def _person(it: Told) -> str:
    return it.text("person")


def _because(told: str, why: str) -> str:
    return f"{told}: {why}" if why else told


def _groups(it: Told) -> str:
    return it.names("groups") or _("no groups")


def _manager(it: Told) -> str:
    if manager := it.text("manager"):
        return _("The manager of %(person)s is %(manager)s", person=_person(it), manager=manager)
    return _("%(person)s has no manager", person=_person(it))


def _email(it: Told) -> str:
    if it.data.get("email"):
        return _("The e-mail address of %(person)s was set", person=_person(it))
    return _("The e-mail address of %(person)s was removed", person=_person(it))


def _absence(it: Told) -> str:
    told = _(
        "%(person)s is out of office from %(start)s to %(end)s",
        person=_person(it),
        start=moment(it.text("starts_at")),
        end=moment(it.text("ends_at")),
    )
    if substitute := it.text("substitute"):
        return told + "; " + _("substitute: %(who)s", who=substitute)
    return told


def _link(it: Told) -> dict[str, str]:
    return {"who": it.actor, "person": _person(it), "asked_by": it.text("asked_by")}


def _passkey(it: Told) -> dict[str, str]:
    return {"who": it.actor, "person": _person(it), "name": it.text("name"), "before": it.text("before")}


def _sign_in_failed(it: Told) -> str:
    values = {"person": _person(it), "way": it.text("way"), "why": readable(it.text("why"))}
    if values["person"]:
        return _("Sign-in of %(person)s by %(way)s failed: %(why)s", **values)
    return _("Sign-in by %(way)s failed: %(why)s", **values)


def _sign_ins_failed(it: Told) -> str:
    number, hour = int(it.text("number") or 0), it.text("hour")
    if person := _person(it):
        whose = _("of %(person)s", person=person)
    else:
        whose = _("of all people") if it.text("of") == "all" else _("of unknown people")
    return ngettext(
        "%(num)s sign-in %(whose)s failed in the hour of %(hour)s",
        "%(num)s sign-ins %(whose)s failed in the hour of %(hour)s",
        number,
        whose=whose,
        hour=hour,
    )


def _change(it: Told) -> str:
    """Return what a requested change of the ledger does, as text after `to`: `open account petty-cash in GBP`."""
    values = {"account": it.text("account"), "currency": it.text("currency"), "money": _money(it)}
    if it.text("kind") == "fund":
        return _("put %(money)s into account %(account)s", **values)
    if values["money"]:
        return _("open account %(account)s in %(currency)s with %(money)s", **values)
    return _("open account %(account)s in %(currency)s", **values)


def _money(it: Told) -> str:
    try:
        return in_words(Decimal(it.text("amount")), it.text("currency")) if it.text("amount") else ""
    except (InvalidOperation, ValueError):
        return it.text("amount")


PEOPLE_WORDINGS: dict[EventKind, Wording] = {
    EventKind.PERSON_ADDED: lambda it: _(
        "%(person)s was added with %(groups)s", person=_person(it), groups=_groups(it)
    ),
    EventKind.PERSON_DEACTIVATED: lambda it: _because(
        _("%(person)s has left, without a successor", person=_person(it)), it.text("reason")
    ),
    EventKind.PERSON_REACTIVATED: lambda it: _(
        "%(person)s is back with %(groups)s", person=_person(it), groups=_groups(it)
    ),
    EventKind.PERSON_REPLACED: lambda it: _because(
        _("%(person)s was replaced by %(by)s", person=_person(it), by=it.text("by")), it.text("reason")
    ),
    EventKind.SERVICE_ACCOUNT_ADDED: lambda it: _(
        "%(person)s is a service account of %(owners)s, for %(scopes)s",
        person=_person(it),
        owners=it.names("owners"),
        scopes=it.names("scopes"),
    ),
    EventKind.SERVICE_ACCOUNT_OWNERS_SET: lambda it: _(
        "The owners of the service account %(person)s are %(owners)s", person=_person(it), owners=it.names("owners")
    ),
    EventKind.SERVICE_ACCOUNT_SUSPENDED: lambda it: _(
        "The service account %(person)s is suspended: its last owner %(owner)s has left",
        person=_person(it),
        owner=it.text("owner"),
    ),
    EventKind.SERVICE_ACCOUNT_DEACTIVATED: lambda it: _(
        "The service account %(person)s was deactivated", person=_person(it)
    ),
    EventKind.SERVICE_ACCOUNT_REACTIVATED: lambda it: _(
        "The service account %(person)s was reactivated", person=_person(it)
    ),
    EventKind.GROUP_JOINED: lambda it: _("%(person)s joined %(group)s", person=_person(it), group=it.text("group")),
    EventKind.GROUP_LEFT: lambda it: _("%(person)s left %(group)s", person=_person(it), group=it.text("group")),
    EventKind.GROUP_PROVIDED: lambda it: _(
        "%(provider)s sets the members of %(group)s now",
        provider=provider_named(it.text("provider")),
        group=it.text("group"),
    ),
    EventKind.GROUP_RELEASED: lambda it: _(
        "Administrators set the members of %(group)s again, not %(provider)s",
        provider=provider_named(it.text("provider")),
        group=it.text("group"),
    ),
    EventKind.GROUP_MAPPED: lambda it: _(
        "The group %(name)s of the identity provider fills %(group)s",
        name=it.text("provider_group"),
        group=it.text("group"),
    ),
    EventKind.GROUP_UNMAPPED: lambda it: _(
        "The group %(name)s of the identity provider is not mapped to %(group)s any more",
        name=it.text("provider_group"),
        group=it.text("group"),
    ),
    EventKind.PERSON_LINKED: lambda it: _(
        "%(person)s was linked to a user of %(provider)s",
        person=_person(it),
        provider=provider_named(it.text("provider")),
    ),
    EventKind.NAME_SET: lambda it: _("The name of %(person)s was changed", person=_person(it)),
    EventKind.MANAGER_SET: _manager,
    EventKind.TIME_ZONE_SET: lambda it: _(
        "The time zone of %(person)s is %(zone)s", person=_person(it), zone=it.text("time_zone") or "UTC"
    ),
    EventKind.EMAIL_CHANGED: _email,
    EventKind.ABSENCE_SET: _absence,
    EventKind.ABSENCE_ENDED: lambda it: _("%(person)s is back", person=_person(it)),
    EventKind.PASSWORD_SET: lambda it: _("The password of %(person)s was set", person=_person(it)),
    EventKind.PASSKEY_ADDED: lambda it: _("%(person)s added the passkey %(name)s", **_passkey(it)),
    EventKind.PASSKEY_RENAMED: lambda it: _("%(person)s renamed the passkey %(before)s: %(name)s", **_passkey(it)),
    EventKind.PASSKEY_REMOVED: lambda it: _("%(who)s removed the passkey %(name)s of %(person)s", **_passkey(it)),
    EventKind.PASSKEY_COPIED: lambda it: _(
        "The passkey %(name)s of %(person)s was refused: its counter went back, so there may be a copy", **_passkey(it)
    ),
    EventKind.IDENTITY_CONNECTED: lambda it: _(
        "An account of %(issuer)s was connected to %(person)s", person=_person(it), issuer=it.text("issuer")
    ),
    EventKind.IDENTITY_DISCONNECTED: lambda it: _(
        "An account of %(issuer)s was disconnected from %(person)s", person=_person(it), issuer=it.text("issuer")
    ),
    EventKind.TOKEN_MADE: lambda it: _(
        "A token was made for %(person)s: %(label)s", person=_person(it), label=it.text("label")
    ),
    EventKind.TOKEN_REVOKED: lambda it: _(
        "A token of %(person)s was revoked: %(label)s", person=_person(it), label=it.text("label")
    ),
    EventKind.TOKENS_REVOKED: lambda it: ngettext(
        "%(num)s token of %(person)s was revoked",
        "%(num)s tokens of %(person)s were revoked",
        len(it.data.get("token_ids") or ()),
        person=_person(it),
    ),
    EventKind.LINK_ASKED: lambda it: _("%(who)s asked for a one-time link for %(person)s", **_link(it)),
    EventKind.LINK_CONFIRMED: lambda it: _(
        "%(who)s confirmed the one-time link for %(person)s that %(asked_by)s asked for", **_link(it)
    ),
    EventKind.LINK_SENT: lambda it: _("%(who)s sent a one-time link for %(person)s", **_link(it)),
    EventKind.LINK_PRINTED: lambda it: _("%(who)s made a link on the server that signs in as %(person)s", **_link(it)),
    EventKind.LINK_WITHDRAWN: lambda it: _("%(who)s withdrew a one-time link for %(person)s", **_link(it)),
    EventKind.LINK_USED: lambda it: _("%(person)s used a one-time link", **_link(it)),
    EventKind.SIGNED_IN: lambda it: _("%(person)s signed in by %(way)s", person=_person(it), way=it.text("way")),
    EventKind.SIGNED_OUT: lambda it: _("%(person)s signed out", person=_person(it)),
    EventKind.SIGNED_OUT_EVERYWHERE: lambda it: _("%(person)s was signed out everywhere", person=_person(it)),
    EventKind.SIGN_IN_FAILED: _sign_in_failed,
    EventKind.SIGN_INS_FAILED: _sign_ins_failed,
    EventKind.SIGN_IN_UNLOCKED: lambda it: _("Sign-in of %(person)s was unlocked", person=_person(it)),
    EventKind.POLICY_LOADED: lambda it: _("A policy came into force: %(hash)s", hash=it.text("policy")[:12]),
    EventKind.KEYS_CHANGED: lambda it: _("The keys that sign decisions changed: %(keys)s", keys=it.text("changed")),
    EventKind.NAMESPACE_BOUND: lambda it: _(
        "The Temporal namespace %(namespace)s belongs to this installation now", namespace=it.text("namespace")
    ),
    EventKind.PAYLOADS_ENCRYPTED: lambda _it: _("Payloads of Workflows are encrypted from now on"),
    EventKind.PAYLOAD_KEY_ADDED: lambda it: _("Payload key %(key)s was added", key=it.text("key_id")),
    EventKind.PAYLOAD_KEY_REMOVED: lambda it: _("Payload key %(key)s was destroyed", key=it.text("key_id")),
    EventKind.DATA_KEYS_REWRAPPED: lambda it: _(
        "%(count)s data keys were wrapped by payload key %(key)s", count=it.text("count"), key=it.text("key_id")
    ),
    EventKind.PAYLOADS_DECODED: lambda it: _(
        "%(who)s decoded %(count)s payloads of Temporal: %(cases)s",
        who=it.actor,
        count=it.text("count"),
        cases=it.names("case_ids") or _("none that they may read"),
    ),
    EventKind.DECODING_REFUSED: lambda it: _(
        "%(who)s may not decode payloads of Temporal and was refused", who=it.actor
    ),
    EventKind.ACCOUNT_LOCKED: lambda it: _("Account %(account)s was locked", account=it.text("account")),
    EventKind.ACCOUNT_UNLOCKED: lambda it: _("Account %(account)s was unlocked", account=it.text("account")),
    EventKind.BOOKS_CLOSED: lambda it: _(
        "The books of account %(account)s were closed up to %(until)s",
        account=it.text("account"),
        until=moment(it.text("until")),
    ),
    EventKind.LEDGER_CHANGE_ASKED: lambda it: _because(
        _("%(who)s asked to %(change)s", who=it.actor, change=_change(it)), it.text("reason")
    ),
    EventKind.LEDGER_CHANGE_CONFIRMED: lambda it: _because(
        _(
            "%(who)s confirmed what %(asked_by)s asked for: to %(change)s",
            who=it.actor,
            asked_by=it.text("asked_by"),
            change=_change(it),
        ),
        it.text("reason"),
    ),
    EventKind.LEDGER_CHANGE_WITHDRAWN: lambda it: _because(
        _("%(who)s withdrew the request to %(change)s", who=it.actor, change=_change(it)), it.text("reason")
    ),
}
"""The wording of each kind of event that belongs to no case."""
