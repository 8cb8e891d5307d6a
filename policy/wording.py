"""Write the rules of a policy as text for people: conditions, candidates, clocks, and consequences.

The policy page, the task and request pages, forecasts, `policy explain` and messages use these texts. Each function
gets the translations of its reader as `texts`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.confirmation import Confirm
from domain.durations import in_words as length_in_words
from domain.moments import moment_at_length
from domain.money import in_words as money_in_words
from domain.status import OnExpiry
from domain.texts import ENGLISH, Texts
from domain.wording import Words
from policy.calendars import Calendar
from policy.clock import duration
from policy.comparisons import OPPOSITE, Comparison, comparison
from policy.expressions import ExpressionError
from policy.model import MANAGER_OF_REQUESTER, GateRules

# ------------------------------------------------------------------------------------------------------------ who


def person_or_group(name: str, texts: Texts = ENGLISH) -> str:
    """Return a name from the policy as people read it.

    For `manager_of(requester)`, return `the requester's manager`.
    """
    return texts.gettext("the requester's manager") if name == MANAGER_OF_REQUESTER else name


def candidates(gate: GateRules, texts: Texts = ENGLISH) -> str:
    """Return who can decide a gate: `members of managers, anna`."""
    named = [people(gate.groups, gate.users, texts)]
    if gate.candidates:
        named.append(texts.gettext("people named by %(expression)s") % {"expression": on_one_line(gate.candidates)})
    return "; ".join(filter(None, named)) or texts.gettext("nobody")


def people(groups: Sequence[str], users: Sequence[str], texts: Texts = ENGLISH) -> str:
    """Return groups and people as text: `members of managers, the requester's manager`."""
    return ", ".join([*(members(group, texts) for group in groups), *(person_or_group(user, texts) for user in users)])


def members(group: str, texts: Texts = ENGLISH) -> str:
    """Return the members of a group as text: `members of managers`."""
    return texts.gettext("members of %(group)s") % {"group": group}


def approvals(count: int, texts: Texts = ENGLISH) -> str:
    """Return a number of approvals as text: `1 approval`, `2 approvals`."""
    return texts.ngettext("%(num)s approval", "%(num)s approvals", count) % {"num": count}


# ------------------------------------------------------------------------------------------------- what happens then


def rejection(veto: bool, texts: Texts = ENGLISH) -> str:
    """Return in words for people whether one rejection ends the approval step."""
    if veto:
        return texts.gettext("One rejection ends it: the request is rolled back and ends rejected.")
    return texts.gettext("Rejections end it only when the needed approvals can no longer be reached.")


def expiry(on_expiry: OnExpiry, texts: Texts = ENGLISH) -> str:
    """Return in words for people what happens when nobody decides in time."""
    match on_expiry:
        case "reject":
            return texts.gettext("it is rejected: the request is rolled back and ends expired")
        case "approve":
            return texts.gettext("it is approved")
        case "escalate":
            return texts.gettext("all levels of its escalation can decide for the same time again; then it is rejected")


def escalation(when: str, whom: str, replace: bool, texts: Texts = ENGLISH) -> str:
    """Return in words for people who can decide after an escalation."""
    said = texts.gettext("%(when)s only these can decide: %(whom)s") if replace else ""
    return (said or texts.gettext("%(when)s these can decide, too: %(whom)s")) % {"when": when, "whom": whom}


def confirmation(confirm: Confirm, texts: Texts = ENGLISH) -> str:
    """Return in words for people how they confirm each decision; empty if they need not."""
    match confirm:
        case Confirm.PASSWORD:
            return texts.gettext("Each person confirms the decision with their password")
        case Confirm.PASSKEY:
            return texts.gettext("Each person confirms the decision with a passkey")
        case _:
            return ""


def rounds(count: int, texts: Texts = ENGLISH) -> str:
    """Return a number of rounds as text: `1 round`, `5 rounds`."""
    return texts.ngettext("%(num)s round", "%(num)s rounds", count) % {"num": count}


# ------------------------------------------------------------------------------------------------------------- clocks


def clock(text: str, calendar: str | None, texts: Texts = ENGLISH) -> str:
    """Return in words when a clock fires after the gate has opened: `after 1 day of the working time office`."""
    length = clock_length(text, calendar, texts)
    if length is None:
        return texts.gettext("when %(expression)s says") % {"expression": on_one_line(text)}
    return texts.gettext("after %(length)s") % {"length": length}


def clock_length(text: str, calendar: str | None, texts: Texts = ENGLISH) -> str | None:
    """Return in words how long a clock runs: `1 day of the working time office`; None if the clock is an expression."""
    try:
        written = duration(text)
    except ExpressionError:  # From an older policy.
        written = None
    if written is None:
        return None
    length = length_in_words(written, texts=texts)
    if calendar is None:
        return length
    said = texts.gettext("%(length)s of the working time %(calendar)s")
    return said % {"length": length, "calendar": calendar}


def local(moment: datetime, calendar: Calendar | None) -> str:
    """Return a moment in the time zone of a gate's calendar; in UTC without a calendar."""
    return moment_at_length(moment, calendar.zone if calendar else UTC)


# --------------------------------------------------------------------------------------------------------- conditions


def on_one_line(expression: str) -> str:
    """Return an expression of the policy without line breaks."""
    return " ".join(expression.split())


def because(
    condition: str,
    values: Mapping[str, Any],
    holds: bool,
    words: Words | None,
    currency: str = "",
    *,
    with_value: bool = False,
    texts: Texts = ENGLISH,
) -> str:
    """Return in words why a condition is true or false, as the end of a sentence.

    Examples are `amount under 500.00 GBP` and `score at least 50`.

    `values` are the values that the condition read, by name, and `currency` is that of the case. With `with_value` a
    comparison names both sides: `amount 662.37 is under 50,000.00 GBP`. Returns an empty text for a condition that
    reads nothing, or only unknown names.
    """
    if not values or any(each is None for each in values.values()):
        return ""
    values = words.masking.values(values) if words else values
    made = comparison(condition)
    limit = _other_side(made, values) if made and made.name in values else None
    if made and limit is not None:
        given = values[made.name] if with_value else None
        return compared(made, limit, holds, words, currency, value=given, texts=texts)
    told = [
        texts.gettext("%(name)s is %(value)s") % {"name": label(name, words), "value": shown(each, texts)}
        for name, each in values.items()
        if not name.startswith("limits.") and not isinstance(each, dict | list)
    ]
    return ", ".join(told)


def compared(
    made: Comparison,
    limit: object,
    holds: bool,
    words: Words | None,
    currency: str,
    *,
    value: object = None,
    texts: Texts = ENGLISH,
) -> str:
    """Return a comparison as text.

    If `holds` is False, return the opposite: `amount under 500.00 GBP` for `amount >= 500`.

    If `value` is given, add the value of the name: `amount 662.37 is under 500.00 GBP`.
    """
    subject = label(made.name, words)
    if value is not None:
        known = _sum_or_value(made.name, value, words, currency, texts).removesuffix(f" {currency}")
        subject = texts.gettext("%(name)s %(value)s is") % {"name": subject, "value": known}
    said = {
        ">=": texts.gettext("%(name)s at least %(limit)s"),
        ">": texts.gettext("%(name)s over %(limit)s"),
        "<=": texts.gettext("%(name)s at most %(limit)s"),
        "<": texts.gettext("%(name)s under %(limit)s"),
    }[made.operator if holds else OPPOSITE[made.operator]]
    return said % {"name": subject, "limit": _sum_or_value(made.name, limit, words, currency, texts)}


def label(name: str, words: Words | None) -> str:
    """Return the label of a name that a condition reads: `score` for `facts.score`."""
    plain = name.removeprefix("facts.").removeprefix("case.")
    known = words.labels.get(plain) if words else None
    return known[:1].lower() + known[1:] if known else plain.replace(".", " ").replace("_", " ").replace("-", " ")


def shown(value: object, texts: Texts = ENGLISH) -> str:
    """Return a value that a condition read as text for people: `1,250.5`, `yes`, `Acme`."""
    if isinstance(value, bool):
        return texts.gettext("yes") if value else texts.gettext("no")
    try:
        return f"{Decimal(str(value)):,f}"
    except InvalidOperation:
        return str(value)


def _other_side(made: Comparison, values: Mapping[str, Any]) -> str | int | float | Decimal | None:
    """Return the right side of a comparison: its number, or the value of its name; None for a value of another type."""
    found = values.get(made.other, made.other) if isinstance(made.other, str) else made.other
    return found if isinstance(found, str | int | float | Decimal) else None


def _sum_or_value(name: str, given: object, words: Words | None, currency: str, texts: Texts) -> str:
    if words is None or words.money is None or words.money[0] != name or not currency:
        return shown(given, texts)
    try:
        return money_in_words(Decimal(str(given)), currency)
    except (ValueError, InvalidOperation):  # A field that is not an amount.
        return f"{given} {currency}"
