"""Find out what a person may do with which processes, by the roles that the policy gives to the person's groups.

Lists, pages, routes, live updates, imports and child cases all ask `scope_of`. Channels, agents and schedules must ask
this function, too.
"""

from collections.abc import Collection, Iterable

from domain.names import ADMINS, AUDITORS, ERASURE, OPERATORS
from domain.scope import EVERYWHERE, OVERSEER, Reach, Scope
from policy.groups import deciders_of
from policy.model import Policy

POLICIES, GROUPS = 8, 10_000
"""The most policies in the cache, and the most sets of groups for each of them."""


def scope_of(policy: Policy, person: str, groups: Collection[str]) -> Scope:
    """Return the scope of a person with these groups under this policy.

    Admins have every role in every process. Other people who have a role in every process of the policy have this role
    everywhere, also in old cases of processes that the policy does not have any more. Members of `operators` and
    `auditors` also have a role for the whole installation, whatever the processes say.
    """
    if ADMINS in groups:
        return OVERSEER
    if policy.hash not in _cache:
        if len(_cache) >= POLICIES:
            _cache.clear()
        _cache[policy.hash] = _Scopes(policy)
    return _cache[policy.hash].of(person, frozenset(groups))


class _Scopes:
    """Computes and keeps the scopes under one policy."""

    def __init__(self, policy: Policy) -> None:
        self._sections = policy.processes
        self._deciders = {name: deciders_of(section) for name, section in policy.processes.items()}
        self._by_groups: dict[frozenset[str], Scope] = {}

    def of(self, person: str, groups: frozenset[str]) -> Scope:
        if groups not in self._by_groups:
            if len(self._by_groups) >= GROUPS:
                self._by_groups.clear()
            self._by_groups[groups] = self._scope(groups)
        found = self._by_groups[groups]
        if named := {name for name, deciders in self._deciders.items() if person in deciders}:
            return found.model_copy(update={"knows": Reach(processes=found.knows.processes | named)})
        return found

    def _scope(self, groups: frozenset[str]) -> Scope:
        starts = self._having(groups, "requesters")
        sees = self._having(groups, "viewers", "operators", "auditors")
        audits = self._reach(self._having(groups, "operators", "auditors"))
        asked = {name for name, names in self._deciders.items() if not groups.isdisjoint(names)}
        return Scope(
            # Never "everywhere": nobody starts cases of a process that has no section.
            # An erasure begins at its subject: who may ask for one needs no pages for new requests and uploads.
            starts=Reach(processes=frozenset(starts - {ERASURE})),
            erases=ERASURE in starts,
            knows=Reach(processes=frozenset(starts | sees | asked)),
            sees=self._reach(sees),
            operates=self._reach(self._having(groups, "operators")),
            audits=audits,
            oversees_installation=not groups.isdisjoint({OPERATORS, AUDITORS}) or audits.everywhere,
            audits_installation=AUDITORS in groups or self._reach(self._having(groups, "auditors")).everywhere,
        )

    def _having(self, groups: frozenset[str], *roles: str) -> set[str]:
        """Return the processes in which one of the groups has one of the roles."""
        return {
            name
            for name, section in self._sections.items()
            if any(not groups.isdisjoint(getattr(section, role)) for role in roles)
        }

    def _reach(self, processes: Iterable[str]) -> Reach:
        found = frozenset(processes)
        return EVERYWHERE if found and found == self._sections.keys() else Reach(processes=found)


_cache: dict[str, _Scopes] = {}
