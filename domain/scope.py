"""What a person may do with which processes. `policy.scope` computes it from the roles that the policy gives to groups.

The gateway computes the scope of a person for each request, and every list, check and live update uses this object. An
empty scope is the default, so that a person whose scope nobody has computed sees only what names this person.
"""

from pydantic import BaseModel, ConfigDict

LEDGER_OF, DIRECTORY_OF, DATASETS_OF, RISKS_OF = "payment", "user_onboarding", "data_import", "security_review"
"""The processes to which the records of the shipped receivers belong: people who oversee a process read its records."""


class Reach(BaseModel):
    """A set of processes: some of them, or all of them, also those that the policy does not have any more."""

    model_config = ConfigDict(frozen=True)

    processes: frozenset[str] = frozenset()
    everywhere: bool = False

    def __contains__(self, process: str) -> bool:
        """Return True if the process is in the set."""
        return self.everywhere or process in self.processes

    def __and__(self, other: "Reach") -> "Reach":
        """Return the processes that are in both sets."""
        if self.everywhere or other.everywhere:
            return other if self.everywhere else self
        return Reach(processes=self.processes & other.processes)

    def __bool__(self) -> bool:
        """Return True if the set has a process."""
        return self.everywhere or bool(self.processes)


NOWHERE = Reach()
EVERYWHERE = Reach(everywhere=True)


class Scope(BaseModel):
    """The processes in which a person has each role, and the roles of the person for the whole installation."""

    model_config = ConfigDict(frozen=True)

    starts: Reach = NOWHERE
    """Processes whose cases the person may start; see `erases` for erasures, which begin at their subject."""
    sees: Reach = NOWHERE
    """Processes whose cases, tasks and uploads the person sees, as viewer, operator or auditor."""
    operates: Reach = NOWHERE
    """Processes whose cases the person operates: cancel, roll back, reassign, incidents."""
    audits: Reach = NOWHERE
    """Processes whose audit events, evidence and receivers the person may read, as operator or auditor."""
    knows: Reach = NOWHERE
    """Processes whose description the person may read: those above, and those in which the policy names the person."""
    oversees_installation: bool = False
    """True for operators, auditors and admins of the installation: they read events without a process."""
    erases: bool = False
    """True if the person may ask for erasures: of cases and uploads of processes that they operate."""
    audits_installation: bool = False
    """True for auditors and admins of the installation: they read the list of people and the policy."""


OVERSEER = Scope(
    starts=EVERYWHERE,
    sees=EVERYWHERE,
    operates=EVERYWHERE,
    audits=EVERYWHERE,
    knows=EVERYWHERE,
    erases=True,
    oversees_installation=True,
    audits_installation=True,
)
"""The scope of admins."""
