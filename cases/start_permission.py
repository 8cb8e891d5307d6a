"""Check who may start cases: members of the groups that the policy names as `requesters` of the process, and admins.

`Starter` and `Uploads` ask this module, so the rule holds for every way to start a case: API, pages, uploads, the drop
folder, child cases and automatic next rounds.
"""

from domain.names import ADMINS, ERASURE
from domain.scope import EVERYWHERE, Scope
from policy.model import Policy
from policy.scope import scope_of
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.people import people, successors


class NotARequester(Exception):
    """Raised if a person may not start cases of a process. `rule` says who may."""

    def __init__(self, process: str, rule: str) -> None:
        super().__init__(f"Only requesters of '{process}' and admins start its cases. Ask an administrator for access")
        self.rule = rule


async def scope_now(db: Database, policy: Policy, person: str, on_behalf_of: str | None = None) -> Scope:
    """Return the scope of a person with their present groups; empty for a person who does not exist.

    A service account that asks on behalf of a person may start only what this person may start, too.
    """
    async with db.read() as conn:
        scope = await _scope(conn, policy, person)
        behalf = await _scope(conn, policy, on_behalf_of) if on_behalf_of else None
    return scope.model_copy(update={"starts": scope.starts & behalf.starts}) if behalf else scope


async def _scope(conn: AsyncConnection, policy: Policy, id: str) -> Scope:
    """Return the scope of a person. For a person who has left, return the scope of the successor.

    Nobody who has left can ask for a case. But a running case of such a person may need a child case, or its next
    round. Without a successor both start as they did before the person left.
    """
    found = await people.active(conn, id)
    if found is None and (heir := await successors.in_place_of(conn, id)) is not None:
        found = await people.active(conn, heir)
    if found is not None:
        return scope_of(policy, found.id, found.groups)
    try:
        await people.get(conn, id)
    except people.UnknownPerson:
        return Scope()
    return Scope(starts=EVERYWHERE)


def check_may_start(policy: Policy, process: str, scope: Scope) -> None:
    """Raise NotARequester unless a person with this scope may start cases of the process.

    The error names the groups that may only if the person may know the process.
    """
    if process in scope.starts or (process == ERASURE and scope.erases):
        return
    groups = policy.processes[process].requesters if policy.has(process) and process in scope.knows else None
    rule = "requesters of the process" if groups is None else f"members of {' or '.join([*groups, ADMINS])}"
    raise NotARequester(process, rule)
