"""The table of docs/reference/permissions.md, from which the tests derive what each person is answered."""

from collections.abc import Mapping
from enum import StrEnum

from tests.support.installed_app import ROOT
from tests.support.markdown import section

PAGE = ROOT / "docs" / "reference" / "permissions.md"
WHERE = "the table 'Who may do what' in docs/reference/permissions.md"


class Role(StrEnum):
    """A column of the table."""

    NOBODY = "Not signed in"
    REQUESTER = "Requester"
    CANDIDATE = "Candidate"
    OPERATOR = "Operator"
    AUDITOR = "Auditor"
    ADMIN = "Admin"
    ANYBODY = "Anybody else"


class Answer(StrEnum):
    """A cell of the table."""

    YES = "yes"
    NO = "no"
    HIDDEN = "hidden"
    SIGN_IN = "sign in"


class What(StrEnum):
    """A line of the table."""

    PUBLIC = "Read health, metrics and the API docs, sign in"
    OWN = "Use your own account, inbox, lists and dashboard"
    REQUEST_TYPE = "Read a request type that you start, see or decide"
    START = "Start a request, upload a file"
    READ_CASE = "Read a request and its tasks, comment, attach a file, snooze"
    DECIDE = "Decide, claim or delegate a task, ask a question"
    REVEAL = "Reveal a masked field"
    WITHDRAW_DECISION = "Withdraw your own decision"
    READ_OUTCOME = "Read the outcome of a decision or an action"
    RELEASE = "Release a claimed task"
    REASSIGN = "Reassign a task"
    REASSIGN_MANY = "Reassign many tasks"
    DEADLINES = "Change the deadlines of a task"
    ANSWER = "Answer a question"
    WITHDRAW_QUESTION = "Withdraw a question"
    REMIND = "Send a reminder"
    CANCEL = "Cancel a request, start a scheduled request early"
    ROLL_BACK = "Roll back a completed request"
    ERASE_CASE = "Ask to erase an ended request"
    INCIDENTS = "Read and decide incidents"
    READ_BATCH = "Read an upload"
    ORDER_BATCH = "Pause, resume or cancel an upload"
    ERASE_UPLOAD = "Ask to erase an upload"
    MAPPINGS = "Read saved column mappings"
    DATASETS = "Read published datasets"
    RECEIVERS = "Read accepted risks and the account directory"
    DECODE = "Decode payloads of Temporal"
    OVERSEE = "Read the audit log, evidence packs and the ledger"
    CHANGE_LEDGER = "Request, confirm and withdraw changes of the ledger"
    READ_POLICY = "Read the policy"
    APPLY_POLICY = "Apply the policy to open tasks"
    HOLDS = "Read, place and lift legal holds"
    READ_PEOPLE = "Read people, groups, tokens, links and service accounts"
    ERASE_PERSON = "Ask to erase a person"
    CHANGE_PEOPLE = "Change people, groups, tokens, links and service accounts"


def table() -> Mapping[str, Mapping[Role, Answer]]:
    """Return the lines of the table by their first cell."""
    lines = [line.strip("|").split("|") for line in section(PAGE, "Who may do what").splitlines() if line[:1] == "|"]
    (_what, *roles), _rule, *rows = [[cell.strip() for cell in line] for line in lines]
    return {what: {Role(role): Answer(cell) for role, cell in zip(roles, cells, strict=True)} for what, *cells in rows}


TABLE = table()
