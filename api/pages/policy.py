"""Pages of the policy: its rules in words, its text, the result of its check, and a test with an example case."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from starlette.datastructures import FormData

from api.container import Services
from api.deps import Db, Plain, TheServices
from api.http.problems import not_found
from api.http.security import policy_reader
from api.pages.parts.formatting import readable
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.pages.parts.schema_form import FormField, read_form, schema_form
from api.pages.parts.translation import _, reader
from api.routes.policies import one_policy
from domain import strict_json
from domain.confirmation import Confirm
from domain.durations import days
from domain.names import ADMINS
from domain.state_words import N_
from domain.texts import Texts
from plugins import loader
from policy import wording
from policy.check import expressions_of
from policy.explain import Explained, People, explain
from policy.expressions import expression
from policy.line_numbers import LineNumbers
from policy.model import EVERYONE, GateRules, Policy
from policy.parse import notes, warnings
from policy.preview import FutureCase
from store.people import people
from workflows.registry import GATES, INPUTS, PROCESSES

router = pages()

FACT = "fact."
"""The start of the names of the form's fields for facts."""


@dataclass(frozen=True)
class StepRules:
    """One section of the policy in words: an approval step, or what happens if a step fails (intervention)."""

    name: str
    rules: list[tuple[str, str]]
    """The rules as pairs: what the rule is about, and its text."""
    line: int
    """The line in the policy file at which the section begins."""


@dataclass(frozen=True)
class ProcessSection:
    """One process, with its rules in the policy."""

    name: str
    summary: str
    roles: list[tuple[str, str]]
    """Who may start, view, operate and audit its cases, and reveal masked fields, as pairs: what they may do, and their
    groups.
    """
    steps: list[StepRules]
    limits: list[tuple[str, str]]
    lists: list[tuple[str, str]]
    kept: str
    """How long the content of its ended cases is kept, in words (`HOLDGATE_RETENTION`)."""
    missing: bool
    """True if the policy has no section for the process, so that its cases are refused."""


@dataclass(frozen=True)
class PolicyPage(Context):
    """`policy/rules.html`: the policy in force, process by process."""

    hash: str
    sections: list[ProcessSection]
    problem: str | None
    """Why the present policy file is invalid; None if it is valid.

    While the file is invalid, the last valid policy stays in force.
    """
    warnings: list[str]
    notes: list[str]


@dataclass(frozen=True)
class PolicyTextPage(Context):
    """`policy/source.html`: the text of a policy, line by line."""

    hash: str
    lines: list[str]
    in_force: bool


@dataclass(frozen=True)
class PolicyTrialPage(Context):
    """The variables of `policy/explain.html`: an example case, and what the policy decides about this case."""

    processes: list[str]
    process: str
    form: list[FormField]
    facts: list[str]
    """The names of the facts that the policy reads for this process."""
    typed: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    explained: list[Explained] | None = None


@router.api_route("/policy", methods=["GET", "HEAD"])
async def in_force(request: Request, person: SignedIn, services: TheServices) -> Response:
    """Show the policy in force, in words."""
    await policy_reader(person)
    policy = services.policy.current
    known, periods = await _people(services), loader.retention(services.settings.retention)
    said = warnings(policy, INPUTS, known.members), notes(policy)
    sections = [_section(policy, name, periods.get(name)) for name in PROCESSES]
    page = PolicyPage(person, policy.hash, sections, services.policy.problem, *said)
    return render(request, "policy/rules.html", page)


@router.api_route("/policy/text", methods=["GET", "HEAD"])
async def as_read(request: Request, person: SignedIn, services: TheServices) -> Response:
    """Show the text of the policy in force."""
    await policy_reader(person)
    policy = services.policy.current
    return render(request, "policy/source.html", PolicyTextPage(person, policy.hash, policy.text.splitlines(), True))


@router.api_route("/policy/explain", methods=["GET", "HEAD"])
async def trial(
    request: Request, person: SignedIn, services: TheServices, process: Annotated[Plain, Query(max_length=60)] = ""
) -> Response:
    """Show the form for an example case of a process."""
    await policy_reader(person)
    return render(request, "policy/explain.html", _trial(person, services.policy.current, process))


@router.post("/policy/explain", dependencies=[Depends(check_same_site)])
async def tried(request: Request, person: SignedIn, services: TheServices) -> Response:
    """Show what the policy decides about the example case in the form. No case is started."""
    await policy_reader(person)
    form, policy = await request.form(max_fields=200), services.policy.current
    name = _text(form, "process")
    page = _trial(person, policy, name)
    if not policy.has(name) or name not in INPUTS:
        return render(request, "policy/explain.html", page, 422)
    model, words = INPUTS[name], PROCESSES[name].words
    only = [each.name for each in page.form]
    read = read_form(model, dict(form), words=words, only=only)
    facts, wrong = _facts(form, page.facts)
    shown = schema_form(model, {}, words=words, only=only, read=read)
    typed = {"requester": _text(form, "requester"), **{fact: _text(form, FACT + fact) for fact in page.facts}}
    if "" in read.errors:
        wrong[""] = read.errors[""]
    page = PolicyTrialPage(person, page.processes, name, shown, page.facts, typed, wrong)
    if read.errors or wrong:
        return render(request, "policy/explain.html", page, 422)
    supposed = FutureCase(model.model_validate(dict(read.values)), facts, typed["requester"] or None)
    now, known, texts = datetime.now(UTC), await _people(services), reader.get().texts
    found = explain(policy, name, GATES[name], supposed, now, known, texts)
    page = PolicyTrialPage(person, page.processes, name, shown, page.facts, typed, {}, found)
    return render(request, "policy/explain.html", page)


@router.api_route("/policy/{hash}", methods=["GET", "HEAD"])
async def pinned(
    request: Request, hash: Annotated[str, Path(max_length=64)], person: SignedIn, services: TheServices, db: Db
) -> Response:
    """Show the text of a policy that is pinned to cases."""
    await policy_reader(person)
    current = services.policy.current
    text = current.text if hash == current.hash else (await one_policy(hash, person, db)).text
    return render(request, "policy/source.html", PolicyTextPage(person, hash, text.splitlines(), hash == current.hash))


async def _people(services: Services) -> People:
    async with services.db.read() as conn:
        return People.of((each.id, each.name, each.groups) for each in await people.all(conn))


# ------------------------------------------------------------------------------------------------------- a case to try


def _trial(person: Any, policy: Policy, process: str) -> PolicyTrialPage:
    known = [name for name in PROCESSES if policy.has(name)]
    if process and process not in known:
        raise not_found("process")
    if not process:
        return PolicyTrialPage(person, known, "", [], [])
    model, words = INPUTS[process], PROCESSES[process].words
    read = {path for path in _read_by(policy, process) if path}
    roots = {path[0] for path in read} | set(words.money or ())
    only = [name for name, info in model.model_fields.items() if info.is_required() or name in roots]
    facts = sorted({path[1] for path in read if path[0] == "facts" and len(path) > 1})
    return PolicyTrialPage(person, known, process, schema_form(model, {}, words=words, only=only), facts)


def _read_by(policy: Policy, process: str) -> set[tuple[str, ...]]:
    """Return all names that the rules of a process read, each as a path such as `("facts", "score")`."""
    found: set[tuple[str, ...]] = set()
    for gate in policy.processes[process].gates.values():
        for _key, text in expressions_of(gate):
            found |= expression(text).reads
    return found


def _facts(form: FormData, names: list[str]) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Return the facts that the person entered, each read as JSON or else as text, and the errors by field.

    The facts are None if the person entered none.
    """
    found: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name in names:
        if text := _text(form, FACT + name):
            try:
                found[name] = strict_json.loads(text)
            except (ValueError, RecursionError) as why:
                found[name] = text
                if text.lstrip()[:1] in ("{", "["):
                    wrong[name] = _("This is not JSON: %(why)s.", why=why)
    missing = [name for name in names if name not in found] if found else []
    return found or None, wrong | {name: _("Fill in all checks, or none.") for name in missing}


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value.replace("\0", "").strip() if isinstance(value, str) else ""


# ------------------------------------------------------------------------------------------------------ rules in words


def _section(policy: Policy, name: str, period: timedelta | None) -> ProcessSection:
    kept = days(period.days, reader.get().texts) if period else _("for ever")
    summary = PROCESSES[name].words.summary
    if not policy.has(name):
        return ProcessSection(name, summary, [], [], [], [], kept, missing=True)
    section = policy.processes[name]
    lines = LineNumbers(policy.text, policy.source)
    steps = [StepRules(gate, in_words(rules), lines.of((name, "gates", gate))) for gate, rules in section.gates.items()]
    limits = [
        (currency, ", ".join(f"{readable(limit)} {amount:,}" for limit, amount in row.items()))
        for currency, row in section.limits.items()
    ]
    lists = [(readable(each), ", ".join(names)) for each, names in section.lists.items()]
    roles = [(_(about), _groups(getattr(section, role))) for role, about in _MAY.items()]
    labels = PROCESSES[name].words.labels
    roles += [
        (_("Can reveal “%(field)s”", field=labels.get(field, readable(field))), ", ".join(groups))
        for field, groups in section.reveal.items()
    ]
    return ProcessSection(name, summary, roles, steps, limits, lists, kept, missing=False)


_MAY = {
    "requesters": N_("Can start requests"),
    "viewers": N_("Can view"),
    "operators": N_("Can operate"),
    "auditors": N_("Can audit"),
}
"""The roles of a process, as the page names them."""


def _groups(names: Sequence[str]) -> str:
    """Return the groups that have a role, for people. Admins have every role."""
    return ", ".join([*names, ADMINS])


def in_words(gate: GateRules) -> list[tuple[str, str]]:
    """Return the rules of an approval step as pairs: what the rule is about, and its text, which holds for any case."""
    texts = reader.get().texts

    def holds(condition: str) -> str:
        return _("if %(condition)s", condition=wording.on_one_line(condition))

    def clock(text: str) -> str:
        return wording.clock(text, gate.calendar, texts)

    rows = [(_("Asked"), holds(gate.when) if gate.when else _("for every request"))]
    if gate.auto_reject:
        rows.append((_("Rejected by rule"), holds(gate.auto_reject)))
    if gate.auto_approve:
        rows.append((_("Approved by rule"), holds(gate.auto_approve)))
    rows.append((_("Who can decide"), wording.candidates(gate, texts)))
    rows.append((_("How many"), f"{_many(gate.quorum)}. {wording.rejection(gate.veto, texts)}"))
    if gate.separation_of_duties:
        rows.append((_("Who cannot"), _("the requester, and people who decided another approval step of the request")))
    if gate.exclude:
        rows.append((_("Never"), ", ".join(gate.exclude)))
    if gate.due:
        rows.append((_("Due"), clock(gate.due)))
    if gate.remind:
        rows.append((_("Reminders"), "; ".join(map(clock, gate.remind))))
    for level in gate.escalate:
        whom = wording.people(level.to, level.users, texts)
        rows.append((_("Escalation"), wording.escalation(clock(level.after), whom, level.replace, texts)))
    rows.append((_("Expires"), _end(gate, texts)))
    if gate.confirm != Confirm.NONE:
        rows.append((_("Confirmation"), _confirmation(gate.confirm, texts)))
    if gate.edit:
        fields = ", ".join(map(readable, gate.edit))
        rows.append((_("Can be changed"), _("with an approval: %(fields)s", fields=fields)))
    length = wording.clock_length(gate.changes, gate.calendar, texts) or clock(gate.changes)
    most = wording.rounds(gate.rounds, texts)
    changes = _("at most %(rounds)s; the requester has %(length)s for each", rounds=most, length=length)
    rows.append((_("Changes requested"), changes))
    return rows


def _many(quorum: int | str) -> str:
    if quorum == EVERYONE:
        return _("everyone who can decide")
    if isinstance(quorum, int):
        return wording.approvals(quorum, reader.get().texts)
    return _("as many approvals as %(expression)s says", expression=wording.on_one_line(quorum))


def _confirmation(confirm: str, texts: Texts) -> str:
    if confirm in {*Confirm}:
        return wording.confirmation(Confirm(confirm), texts)
    return _(
        "with a password, a passkey or not at all, as %(expression)s says", expression=wording.on_one_line(confirm)
    )


def _end(gate: GateRules, texts: Texts) -> str:
    if not gate.expires:
        return _("never")
    when, then = wording.clock(gate.expires, gate.calendar, texts), wording.expiry(gate.on_expiry, texts)
    return _("%(when)s: %(then)s", when=when, then=then)
