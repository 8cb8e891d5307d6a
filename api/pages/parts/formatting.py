"""Functions by which templates show values: moments in the reader's time zone, lengths of time, states with colours."""

import re
import string
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from urllib.parse import quote

from markupsafe import Markup, escape

from api.pages.parts.translation import _, ngettext, reader
from domain import state_words as state_wording
from domain.bidi import runs
from domain.confirmation import Confirm
from domain.durations import roughly
from domain.moments import moment_in_words, moment_of, rfc3339
from domain.money import in_words
from store.cases.blocked import WHOLE_CASE
from workflows.registry import PROCESSES

TONES: dict[str, str] = {
    "scheduled": "later",
    "starting": "going",
    "running": "going",
    "awaiting_approval": "waiting",
    "awaiting_changes": "waiting",
    "needs_intervention": "wrong",
    "rolling_back": "undo",
    "completed": "good",
    "rejected": "no",
    "expired": "no",
    "cancelled": "quiet",
    "failed": "wrong",
    "rolled_back": "undo",
    "open": "waiting",
    "approved": "good",
    "approved_by_rule": "good",
    "rejected_by_rule": "no",
    "changes_requested": "waiting",
    "paused": "later",
    "cancelling": "undo",
    "receiving": "going",
}
"""The colour of each state, as the name of a design token.

Pages always show the name of the state in addition to its colour.
"""


def state_words(state: str) -> str:
    """Return the words for a state of a case, a task or an upload, in the reader's language."""
    return _(state_wording.state(str(state)))


def verdict_words(verdict: str) -> str:
    """Return the words for a verdict as text after the name of the person who decided, in the reader's language."""
    return _(state_wording.decided(verdict))


def signature_words(method: str, name: str, at: datetime, verdict: str) -> str:
    """Return the signature of a confirmed decision in words: the printed name, the time and the meaning.

    The meaning is the wording of the verdict, such as `approved`.
    """
    meaning = {"name": name, "at": time_text(at), "meaning": verdict_words(verdict)}
    if method == Confirm.PASSKEY:
        return _("Signed by %(name)s with a passkey, %(at)s. Meaning: %(meaning)s.", **meaning)
    return _("Signed by %(name)s with the password, %(at)s. Meaning: %(meaning)s.", **meaning)


def state(of: str | None) -> Markup:
    """Return a state as HTML: its name in a coloured tag."""
    if of is None:
        return Markup("")
    tone = TONES.get(str(of), "quiet")
    return Markup('<span class="state {}">{}</span>').format(tone, state_words(str(of)))


def time_text(at: datetime) -> str:
    """Return a moment as text in the reader's time zone: `26 Nov 2026, 10:42 GMT`."""
    return moment_in_words(at, reader.get().zone)


def time(at: datetime | str | None) -> Markup:
    """Return a moment as an HTML `<time>` element in the reader's time zone; empty for None."""
    if at is None:
        return Markup("")
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return Markup('<time datetime="{}">{}</time>').format(_iso(moment), time_text(moment))


def as_shown(value: object) -> object:
    """Return a stored value as pages show it: a moment in the reader's time zone, other values unchanged."""
    if isinstance(value, str) and len(value) >= len("2031-06-01T00:00Z") and value[10:11] == "T":
        try:
            return time(moment_of(value))
        except ValueError:
            return value
    return value


def span(of: timedelta) -> str:
    """Return a length of time in its largest unit, rounded down: `3 h`, `2 days`."""
    return roughly(of, reader.get().texts)


def clock_words() -> dict[str, str]:
    """Return the words that `span` and `due` use, for scripts that update times on an open page."""
    return {
        "in": _("in %(span)s", span="{span}"),
        "late": _("%(span)s late", span="{span}"),
        "least": _("less than a minute"),  # `domain.durations` has these texts, too
        "minutes": _("%(num)s min", num="{num}"),
        "hours": _("%(num)s h", num="{num}"),
        "day": ngettext("%(num)s day", "%(num)s days", 1),
        "days": ngettext("%(num)s day", "%(num)s days", 2).replace("2", "{num}"),
    }


def ago(at: datetime | None, now: datetime | None = None) -> Markup:
    """Return the time since a moment as HTML, such as `3 h`, with the moment as a tooltip; empty for None."""
    if at is None:
        return Markup("")
    told = span((now or datetime.now(UTC)) - at)
    return Markup('<time datetime="{}" title="{}" data-span>{}</time>').format(_iso(at), time_text(at), told)


def urgency(due_at: datetime | None, now: datetime | None = None) -> str:
    """Return how urgent a due time is.

    The result is `late`, `soon` (within 4 h), `today` (within 24 h), `calm`, or `none` if there is no due time.
    """
    if due_at is None:
        return "none"
    left = due_at - (now or datetime.now(UTC))
    if left < timedelta(0):
        return "late"
    return "soon" if left < timedelta(hours=4) else "today" if left < timedelta(days=1) else "calm"


def due(at: datetime | None, now: datetime | None = None) -> Markup:
    """Return a due time as HTML, in words and with a colour: `in 3 h`, `2 days late`."""
    if at is None:
        return Markup('<span class="due none">{}</span>').format(_("no due time"))
    left = at - (now or datetime.now(UTC))
    told = _("in %(span)s", span=span(left)) if left >= timedelta(0) else _("%(span)s late", span=span(left))
    return Markup('<time class="due {}" datetime="{}" title="{}" data-due>{}</time>').format(
        urgency(at, now), _iso(at), time_text(at), told
    )


def person(id: str | None) -> Markup:
    """Return the id or name of a person as HTML that keeps its own writing direction."""
    return Markup("<bdi>{}</bdi>").format(id or "")


def provider_named(provider: str) -> str:
    """Return the name of an identity provider for people."""
    return {"oidc": _("single sign-on"), "scim": "SCIM"}.get(provider, provider)


def isolated(text: object) -> Markup:
    """Return a sentence with names as HTML, in which a name written from right to left moves no other word."""
    parts = (Markup("<bdi>{}</bdi>").format(part) if rtl else escape(part) for part, rtl in runs(str(text)))
    return Markup("").join(parts)


def titled(title: str, process: str) -> Markup:
    """Return the title of a case as HTML, in which no payee changes places with the amount beside it."""
    words = PROCESSES[process].words if process in PROCESSES else None
    found = _template(words.title).fullmatch(title) if words else None
    if found is None:  # the process, or its wording, is no longer there
        return isolated(title)
    at, told = 0, Markup("")
    for number, value in enumerate(found.groups(), 1):
        told += escape(title[at : found.start(number)]) + Markup("<bdi>{}</bdi>").format(value)
        at = found.end(number)
    return told + escape(title[at:])


@cache
def _template(title: str) -> re.Pattern[str]:
    """Return the pattern that finds the values in the title of a case, from the title template of its process."""
    parts = string.Formatter().parse(title)
    return re.compile("".join(re.escape(text) + ("(.*)" if name is not None else "") for text, name, *_ in parts), re.S)


def plain(text: str) -> str:
    """Return the text with the effect of `isolated`, but without HTML, for the title of a browser window."""
    return "".join(f"\u2068{part}\u2069" if rtl else part for part, rtl in runs(text))


def money(amount: object, currency: str) -> Markup:
    """Return an amount with its currency and a separator for thousands: `2,640.00 GBP`."""
    try:
        told = in_words(Decimal(str(amount)), currency)
    except (ValueError, InvalidOperation):  # the field of another process is no amount
        told = f"{amount} {currency}"
    return Markup('<span class="money">{}</span>').format(told)


def in_path(name: str) -> str:
    """Return an id percent-encoded, as a part of a path."""
    return quote(name, safe="")


def readable(name: object) -> str:
    """Return a name from the code in a form for people: `manager-approval` becomes `manager approval`."""
    return str(name).replace("_", " ").replace("-", " ")


def request_type(process: str) -> str:
    """Return the name of a process for people: the noun of its wording, such as `general request` for `approval`."""
    return PROCESSES[process].words.nouns[0] if process in PROCESSES else readable(process)


def what_failed(process: str, step: str) -> str:
    """Return what an incident is about: `payment, reserve funds`; the request type alone if no step has failed."""
    return request_type(process) if step == WHOLE_CASE else f"{request_type(process)}, {readable(step)}"


def step_words(gate: str) -> str:
    """Return the name of an approval step for people."""
    if gate == "intervention":
        return _("Incident")
    return _("Rollback") if gate == "rollback" else capital(readable(gate))


def listed(names: list[str]) -> Markup:
    """Return names of people or groups as HTML, separated by commas."""
    return Markup(", ").join(Markup("<bdi>{}</bdi>").format(name) for name in names)


def capital(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def _iso(at: datetime) -> str:
    return rfc3339(at)
