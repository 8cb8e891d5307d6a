"""List the entries of the navigation that a person may see."""

from typing import NamedTuple

from api.pages.parts.translation import _
from domain.scope import LEDGER_OF
from store.people.people import Person


class NavigationEntry(NamedTuple):
    """One entry of the navigation."""

    path: str
    name: str
    rare: bool = False
    """True if the entry is not in the main row, but under "More"."""


def places(person: Person) -> list[NavigationEntry]:
    """Return the entries of the navigation that this person may see, in their order."""
    scope = person.scope
    asks, sees, reads_rules = bool(scope.starts), bool(scope.sees), scope.audits_installation
    every = [
        (True, NavigationEntry("/", _("Inbox"))),
        (asks, NavigationEntry("/requests", _("My requests"))),
        (asks, NavigationEntry("/new", _("New request"))),
        (asks, NavigationEntry("/upload", _("Upload"))),
        (True, NavigationEntry("/cases", _("All requests"))),
        (asks or sees, NavigationEntry("/batches", _("Uploads"))),
        (True, NavigationEntry("/dashboard", _("Dashboard"))),
        (bool(scope.operates), NavigationEntry("/incidents", _("Incidents"))),
        (reads_rules, NavigationEntry("/people", _("People"), rare=True)),
        (reads_rules, NavigationEntry("/policy", _("Policy"), rare=True)),
        (asks or sees, NavigationEntry("/mappings", _("Mappings"), rare=True)),
        (LEDGER_OF in scope.audits, NavigationEntry("/ledger", _("Ledger"), rare=True)),
        (reads_rules, NavigationEntry("/legal-holds", _("Legal holds"), rare=True)),
        (bool(scope.audits) or scope.oversees_installation, NavigationEntry("/audit", _("Audit log"), rare=True)),
        (True, NavigationEntry("/docs", _("API docs"), rare=True)),
    ]
    return [place for shown, place in every if shown]
