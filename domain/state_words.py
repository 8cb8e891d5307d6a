"""The texts for states, verdicts and ends of cases, shared by pages, mails, the command line and exports.

`N_` marks a text for the catalogue and returns it unchanged: `scripts/texts.py` collects marked texts, and a page
translates them when it shows them, such as `_(state(case.status))`. Other readers get the English text.
"""

from collections.abc import Mapping

from domain.status import Outcome, Status, Verdict


def N_(text: str) -> str:
    """Return the text unchanged; the call marks the text for the catalogue, as gettext tools expect it."""
    return text


STATES: Mapping[str, str] = {
    Status.SCHEDULED: N_("Scheduled"),
    Status.STARTING: N_("Starting"),
    Status.RUNNING: N_("In progress"),
    Status.AWAITING_APPROVAL: N_("Waiting for approval"),
    Status.AWAITING_CHANGES: N_("Changes requested"),
    Status.NEEDS_INTERVENTION: N_("Blocked"),
    Status.ROLLING_BACK: N_("Rolling back"),
    Status.COMPLETED: N_("Completed"),
    Status.REJECTED: N_("Rejected"),
    Status.EXPIRED: N_("Expired"),
    Status.CANCELLED: N_("Cancelled"),
    Status.FAILED: N_("Failed"),
    Status.ROLLED_BACK: N_("Rolled back"),
    "open": N_("Open"),
    Outcome.APPROVED: N_("Approved"),
    Outcome.APPROVED_BY_RULE: N_("No approval needed"),
    Outcome.REJECTED_BY_RULE: N_("Rejected by rule"),
    Outcome.CHANGES_REQUESTED: N_("Changes requested"),
    Outcome.RESUBMITTED: N_("Submitted again"),
    Outcome.RETRY: N_("Step retried"),
    Outcome.SKIP: N_("Step skipped"),
    Outcome.DONE_BY_HAND: N_("Done by hand"),
    Outcome.ROLL_BACK: N_("Rolled back"),
    "receiving": N_("Receiving"),
    "paused": N_("Paused"),
    "cancelling": N_("Cancelling"),
}
"""Every state of a case, a task and an upload, by its stored value."""

BUTTONS: Mapping[Verdict, str] = {
    Verdict.APPROVE: N_("Approve"),
    Verdict.REJECT: N_("Reject"),
    Verdict.REQUEST_CHANGES: N_("Request changes"),
    Verdict.ABSTAIN: N_("Abstain"),
    Verdict.RESUBMIT: N_("Submit again"),
    Verdict.RETRY: N_("Retry step"),
    Verdict.SKIP: N_("Skip step"),
    Verdict.DONE_BY_HAND: N_("Mark as done by hand"),
    Verdict.ROLL_BACK: N_("Roll back everything"),
}
"""The button text of each verdict."""

DECIDED: Mapping[str, str] = {
    Verdict.APPROVE: N_("approved"),
    Verdict.REJECT: N_("rejected"),
    Verdict.REQUEST_CHANGES: N_("requested changes"),
    Verdict.ABSTAIN: N_("abstained"),
    Verdict.RESUBMIT: N_("submitted again"),
    Verdict.RETRY: N_("retried the step"),
    Verdict.SKIP: N_("skipped the step"),
    Verdict.DONE_BY_HAND: N_("marked the step as done by hand"),
    Verdict.ROLL_BACK: N_("rolled back everything"),
}
"""For each verdict: the end of a sentence that begins with the name of the person who decided."""

ENDED: Mapping[Status, str] = {
    Status.COMPLETED: N_("is completed"),
    Status.REJECTED: N_("was rejected"),
    Status.EXPIRED: N_("expired"),
    Status.CANCELLED: N_("was cancelled"),
    Status.FAILED: N_("failed"),
    Status.ROLLED_BACK: N_("was rolled back"),
}
"""By end of a case: the end of a sentence that begins with the noun of its process: `Your payment was rejected`."""


def state(value: str) -> str:
    """Return the text of a state. If the state is unknown, such as a state of a plugin, return its name."""
    return STATES.get(value) or value.replace("_", " ").capitalize()


def decided(verdict: str) -> str:
    """Return the text for a verdict that follows the name of a person in a sentence, such as `approved`."""
    return DECIDED.get(verdict) or verdict.replace("_", " ")
