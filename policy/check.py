"""Check how the values in the section of a process fit together. Each single value was checked before."""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from domain.confirmation import Confirm
from domain.money import decimals_of
from domain.names import ENGINE_GATES, INTERVENTION
from policy.calendars import Calendar
from policy.clock import after, duration, is_duration
from policy.expressions import Expression, ExpressionError, expression
from policy.line_numbers import Key, key_of
from policy.model import EVERYONE, GateRules, ProcessPolicy
from policy.roles import ROLES
from policy.rules import CASE_NAMES
from policy.sample_values import is_clock, sample_of, type_mistake

_OPENINGS = [datetime(2001, 1, 1, 3, tzinfo=UTC) + timedelta(hours=6 * n) for n in range(28)]
"""Sample openings of a gate, spread over one week. A clock that does not fire for any of them never fires."""


def mistakes(
    section: ProcessPolicy,
    model: type[BaseModel],
    known: Collection[str] | None,
    calendars: Mapping[str, Calendar | None],
) -> Iterator[tuple[Key, str]]:
    """Yield the mistakes that can be found only by comparing the parts of a section with each other.

    `known` are the gates of the process. `calendars` are the calendars of the policy by name; the value is None for an
    invalid calendar.
    """
    for currency in section.limits:
        try:
            decimals_of(currency)
        except ValueError as wrong:
            yield ("limits", currency), str(wrong)
    if known is not None:
        for name in sorted(set(section.gates) - set(known) - set(ENGINE_GATES)):
            has = ", ".join(sorted({*known, *ENGINE_GATES}))
            yield ("gates", name), f"the process has no gate of this name; its gates are {has}"
        for name in sorted(set(known) - set(section.gates)):
            yield ("gates",), f"the gate {name} is missing: add its table, because the process uses this gate"
    sample = sample_of(section, model, optional=True)
    for name, gate in section.gates.items():
        of_operators = _of_operators(gate) if name == INTERVENTION else ()
        editable = set(model.model_fields) if name == INTERVENTION and not gate.edit else set(gate.edit)
        confirmed = _confirmed(gate, editable)
        for key, message in (
            *_people(gate),
            *_edits(gate, model),
            *_clocks(gate, calendars),
            *of_operators,
            *confirmed,
        ):
            yield ("gates", name, *key), message
        for key, text in expressions_of(gate):
            try:
                compiled = expression(text)
            except ExpressionError as wrong:
                hint = "neither a duration such as 30s, 15m, 8h, 3d nor CEL: " if is_clock(key) else ""
                yield ("gates", name, *key), f"{hint}{wrong}"
                continue
            unknown = list(_unknown(compiled, section, model))
            for message in unknown:
                yield ("gates", name, *key), message
            if not unknown and sample and (problem := type_mistake(key, compiled, sample)):
                yield ("gates", name, *key), problem


def doubts(gate: GateRules, members: Mapping[str, Collection[str]] | None) -> Iterator[tuple[Key, str]]:
    """Yield a warning for each setting of a gate that is valid but probably not intended.

    `members` are the known people of each group.
    """
    if gate.on_expiry == "approve":
        yield ("on_expiry",), "the request is approved if nobody decides in time"
    if gate.substitutes == "anyone":
        yield (
            ("substitutes",),
            "any person whom an absent candidate names can decide as substitute, also without being in a "
            "group that decides",
        )
    if gate.candidates and gate.choose_from is None and (chosen := _of_the_input(gate.candidates)):
        names = ", ".join(chosen)
        yield (
            ("candidates",),
            f"the requester chooses who decides, by {names}: set choose_from = [groups] to limit the choice",
        )
    if members is None:
        return
    levels = [(("escalate", number, "to"), level.to) for number, level in enumerate(gate.escalate)]
    for key, groups in ((("groups",), gate.groups), *levels):
        for group in groups:
            if not members.get(group):
                yield key, f"the group {group} has no members"
    people = {*gate.users, *(person for group in gate.groups for person in members.get(group, ()))}
    if people and isinstance(gate.quorum, int) and gate.quorum > len(people) - 1:
        who = "1 person, who" if len(people) == 1 else f"{len(people)} people, one of whom"
        yield ("quorum",), f"{gate.quorum} must approve, out of {who} may be the requester and then cannot approve"


def doubts_of_roles(section: ProcessPolicy, members: Mapping[str, Collection[str]] | None) -> Iterator[tuple[Key, str]]:
    """Yield a warning for each role that the section names and that nobody has.

    `members` are the known people of each group. Roles that the section does not name are not checked.
    """
    for role in ROLES:
        groups = getattr(section, role)
        if role not in section.model_fields_set:
            continue
        if not groups and role == "requesters":
            yield (role,), "names no group, so only admins start its cases"
        for group in groups:
            if members is not None and not members.get(group):
                yield (role,), f"the group {group} has no members"


def expressions_of(gate: GateRules) -> list[tuple[Key, str]]:
    """Return all CEL expressions of a gate, each with the key of the gate that holds it."""
    clocks = [(name, text) for name, text in (*gate.clocks(), ("changes", gate.changes)) if not is_duration(text)]
    return [(key_of(name), text) for name, text in (*gate.conditions(), *clocks)]


def _of_the_input(text: str) -> list[str]:
    """Return the names of the fields of the input that an expression reads, sorted."""
    return sorted({root for root, *_ in expression(text).reads} - {"facts", "case", "limits"})


def _people(gate: GateRules) -> Iterator[tuple[Key, str]]:
    if gate.choose_from is not None and gate.candidates is None:
        yield ("choose_from",), "is only used with 'candidates': add 'candidates', or remove 'choose_from'"
    if gate.choose_from == []:
        yield (
            ("choose_from",),
            "names no group, so nobody could be chosen: add groups, or remove 'candidates' and 'choose_from'",
        )
    if not gate.groups and not gate.users and not gate.candidates:
        yield (), "needs groups, users or candidates: without them nobody could decide"
    for number, level in enumerate(gate.escalate):
        if not level.to and not level.users:
            yield ("escalate", number), "needs groups in 'to', or users"
    people = {*gate.users, *(user for level in gate.escalate for user in level.users)}
    grouped = gate.groups or any(level.to for level in gate.escalate)
    if people and not grouped and not gate.candidates and isinstance(gate.quorum, int) and gate.quorum > len(people):
        yield (
            ("quorum",),
            f"{gate.quorum} approvals can never be reached by {len(people)} people: lower the quorum or add people",
        )


def _of_operators(gate: GateRules) -> Iterator[tuple[Key, str]]:
    """Yield the mistakes in the settings of an intervention gate.

    An intervention gate opens after a step has failed. Rules of the policy must not decide this gate.
    """
    for key in ("when", "auto_reject", "auto_approve"):
        if getattr(gate, key) is not None:
            yield (key,), "is not allowed at this gate: after a failure, people must decide"
    if gate.on_expiry == "approve":
        yield ("on_expiry",), "must be 'reject', which rolls the case back, or 'escalate'"
    if gate.quorum == EVERYONE:
        yield ("quorum",), "must be a number: how many operators must give the same answer"


def _edits(gate: GateRules, model: type[BaseModel]) -> Iterator[tuple[Key, str]]:
    for number, name in enumerate(gate.edit):
        if name not in model.model_fields:
            yield ("edit", number), f"unknown field '{name}'; the input has {', '.join(model.model_fields)}"


def _confirmed(gate: GateRules, editable: Collection[str]) -> Iterator[tuple[Key, str]]:
    """Yield a mistake if a decision can change the fields by which `confirm` says how to confirm this decision.

    Otherwise people could choose edits with which they need no confirmation, or a weaker one.
    """
    if gate.confirm in {*Confirm}:
        return
    try:
        reads = {root for root, *_ in expression(gate.confirm).reads}
    except ExpressionError:  # Reported with the other expressions.
        return
    fields = reads | ({"currency"} if "limits" in reads else set())
    if changed := sorted(fields & set(editable)):
        yield (
            ("confirm",),
            f"reads {', '.join(changed)}, which a decision can change (edit): write one of {', '.join(Confirm)}, or "
            "read other fields",
        )


def _clocks(gate: GateRules, calendars: Mapping[str, Calendar | None]) -> Iterator[tuple[Key, str]]:
    """Yield a mistake for each clock of a gate that contradicts another clock or can never fire.

    Clocks that are expressions are not checked, because their value depends on a case.
    """
    if gate.calendar is not None and gate.calendar not in calendars:
        known = ", ".join(calendars) or "none: define a table such as [calendars.office]"
        yield ("calendar",), f"unknown calendar '{gate.calendar}'; known are {known}"
    calendar = calendars.get(gate.calendar or "")
    # Without a calendar, a clock strikes after the same time for each opening.
    openings = _OPENINGS if calendar else _OPENINGS[:1]
    strikes: dict[str, list[datetime]] = {}
    for name, text in (("changes", gate.changes), *gate.clocks()):
        try:
            if duration(text):
                strikes[name] = [after(text, at, calendar) or at for at in openings]
        except ExpressionError as wrong:
            yield key_of(name), str(wrong)
    strikes.pop("changes", None)  # This clock starts when changes are requested.
    ends = strikes.pop("expires", None)
    for name, when in strikes.items() if calendar or not gate.calendar else ():
        if ends and all(at > end or (at == end and name != "due") for at, end in zip(when, ends, strict=True)):
            yield key_of(name), f"comes after the gate has expired ({gate.expires}): use a shorter time"
    if gate.on_expiry == "escalate" and not gate.escalate:
        yield ("on_expiry",), "'escalate' needs at least one level in 'escalate'"
    if "on_expiry" in gate.model_fields_set and gate.expires is None:
        yield (
            ("on_expiry",),
            "needs 'expires', because without it the gate never expires: add 'expires', or remove 'on_expiry'",
        )


def _unknown(compiled: Expression, section: ProcessPolicy, model: type[BaseModel]) -> Iterator[str]:
    """Yield a sentence for each name that the expression reads although this name is not available in conditions."""
    fields = list(model.model_fields)
    known = [*fields, "facts", "case", *(["limits"] if "currency" in fields else [])]
    for root, *members in sorted(compiled.reads):
        if root not in known:
            yield f"unknown name '{root}'; known are {', '.join(known)}"
        elif root == "case" and (not members or members[0] not in CASE_NAMES):
            yield f"unknown name '{'.'.join([root, *members])}'; known are case.{', case.'.join(CASE_NAMES)}"
        elif root == "limits" and not members:
            yield "'limits' is a table: name one of its limits, for example limits.manager"
        elif root == "limits" and not section.limits:
            yield f"'limits.{members[0]}' needs a table of limits such as [<process>.limits.GBP]"
        elif root == "limits":
            without = sorted(currency for currency, row in section.limits.items() if members[0] not in row)
            if without:
                yield f"'limits.{members[0]}' is missing in the limits for {', '.join(without)}"
