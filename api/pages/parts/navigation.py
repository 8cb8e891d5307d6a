"""List the entries of the navigation that a person may see."""

from typing import NamedTuple

from api.http.security import is_in
from api.pages.parts.translation import _
from domain.names import ADMINS, AUDITORS, OPERATORS, REQUESTERS
from store.people.people import Person


class NavigationEntry(NamedTuple):
    """One entry of the navigation."""

    path: str
    name: str
    rare: bool = False
    """True if the entry is not in the main row, but under "More"."""


def places(person: Person) -> list[NavigationEntry]:
    """Return the entries of the navigation that this person may see, in their order."""
    asks = is_in(person, REQUESTERS, ADMINS)
    operates = is_in(person, OPERATORS, ADMINS)
    oversees = is_in(person, OPERATORS, AUDITORS, ADMINS)
    reads_rules = is_in(person, AUDITORS, ADMINS)
    every = [
        (True, NavigationEntry("/", _("Inbox"))),
        (asks, NavigationEntry("/requests", _("My requests"))),
        (asks, NavigationEntry("/new", _("New request"))),
        (asks, NavigationEntry("/upload", _("Upload"))),
        (True, NavigationEntry("/cases", _("All requests"))),
        (asks or oversees, NavigationEntry("/batches", _("Uploads"))),
        (True, NavigationEntry("/dashboard", _("Dashboard"))),
        (operates, NavigationEntry("/incidents", _("Incidents"))),
        (reads_rules, NavigationEntry("/people", _("People"), rare=True)),
        (reads_rules, NavigationEntry("/policy", _("Policy"), rare=True)),
        (asks or oversees, NavigationEntry("/mappings", _("Mappings"), rare=True)),
        (oversees, NavigationEntry("/ledger", _("Ledger"), rare=True)),
        (oversees, NavigationEntry("/audit", _("Audit log"), rare=True)),
        (True, NavigationEntry("/docs", _("API docs"), rare=True)),
    ]
    return [place for shown, place in every if shown]
