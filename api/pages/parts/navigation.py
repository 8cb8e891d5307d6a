"""The entries of the navigation, by what the person may see."""

from typing import NamedTuple

from api.http.security import is_in
from api.pages.parts.translation import _
from domain.names import ADMINS, AUDITORS, OPERATORS, REQUESTERS
from store.people.people import Person


class Place(NamedTuple):
    """One entry of the navigation."""

    path: str
    name: str
    rare: bool = False
    """Whether the entry is in the second row, under "More"."""


def places(person: Person) -> list[Place]:
    """Return the entries for this person, in their order."""
    asks = is_in(person, REQUESTERS, ADMINS)
    operates = is_in(person, OPERATORS, ADMINS)
    oversees = is_in(person, OPERATORS, AUDITORS, ADMINS)
    reads_rules = is_in(person, AUDITORS, ADMINS)
    every = [
        (True, Place("/", _("Inbox"))),
        (asks, Place("/requests", _("My requests"))),
        (asks, Place("/new", _("New request"))),
        (asks, Place("/upload", _("Upload"))),
        (True, Place("/cases", _("All requests"))),
        (asks or oversees, Place("/batches", _("Uploads"))),
        (True, Place("/dashboard", _("Dashboard"))),
        (operates, Place("/incidents", _("Incidents"))),
        (reads_rules, Place("/people", _("People"), rare=True)),
        (reads_rules, Place("/policy", _("Policy"), rare=True)),
        (asks or oversees, Place("/mappings", _("Mappings"), rare=True)),
        (oversees, Place("/ledger", _("Ledger"), rare=True)),
        (oversees, Place("/audit", _("Audit log"), rare=True)),
        (True, Place("/docs", _("API docs"), rare=True)),
    ]
    return [place for shown, place in every if shown]
