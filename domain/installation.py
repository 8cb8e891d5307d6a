"""An installation of Holdgate is one database. A Temporal namespace belongs to one installation.

The open Workflow `holdgate:installation` marks a namespace: its memo names the installation. Programs only read the
memo, so no worker needs to run this Workflow. `cases/namespace_binding.py` reads and starts it.
"""

from enum import Enum, auto

from domain.base import Message

MARKER = "holdgate:installation"
"""The id of the Workflow that marks a namespace."""
MARKER_TASK_QUEUE = "holdgate-installation"
"""The task queue of this Workflow. No worker polls the queue, so the history of the Workflow never grows."""


class Installation(Message):
    """One installation: its id, and the place of its database."""

    id: str
    database: str
    """The URL of the database without user, password and options."""

    def __str__(self) -> str:
        return f"installation {self.id} (database {self.database})"


class Mark(Message):
    """What the newest run of the Workflow `holdgate:installation` says."""

    installation: Installation | None
    """None if the memo cannot be read: another program started the Workflow, or its memo is encrypted."""
    open: bool


def owner(mark: Mark | None) -> str:
    """Return to whom a namespace with this mark belongs, for messages."""
    if mark is None:
        return "nobody"
    return str(mark.installation or "a program that Holdgate does not know")


class Standing(Enum):
    """What a namespace is to an installation."""

    FREE = auto()
    """The namespace belongs to no other installation: this one may mark it."""
    OURS = auto()
    FOREIGN = auto()


def standing(own: Installation, mark: Mark | None, *, strangers: bool = False) -> Standing:
    """Return what a namespace with this mark is to the installation `own`.

    `mark` is None if the namespace has no mark. `strangers` says, for such a namespace, whether it has running cases
    that the database of `own` does not have. The mark of another installation counts also if somebody has terminated
    its Workflow: otherwise one termination would give the running cases of that installation to the next program that
    starts.
    """
    if mark is None:
        return Standing.FOREIGN if strangers else Standing.FREE
    if mark.installation is None or mark.installation.id != own.id:
        return Standing.FOREIGN
    return Standing.OURS if mark.open else Standing.FREE
