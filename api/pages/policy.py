"""The policy as pages: in words, as it is read, what its check says of it, and what it would do with a case."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from starlette.datastructures import FormData

from api.container import Services
from api.deps import Db, Plain, TheServices
from api.http.problems import not_found
from api.http.security import policy_reader
from api.pages.parts.formatting import readable
from api.pages.parts.page import Context, SignedIn, from_here, pages, render
from api.pages.parts.schema_form import FormField, read_form, schema_form
from api.pages.parts.translation import _, ngettext
from api.routes.policies import one_policy
from domain import strict_json
from policy.check import expressions_of
from policy.clock import duration
from policy.explain import Explained, People, explain
from policy.expressions import ExpressionError, expression
from policy.lines import Lines
from policy.model import EVERYONE, Gate, Policy
from policy.outlook import Supposed
from policy.parse import notes, warnings
from store.people import people
from workflows.registry import GATES, INPUTS, PROCESSES

router = pages()

FACT = "fact."
"""Before the names of what was checked, in the form."""


@dataclass(frozen=True)
class Step:
    """An approval step, or an intervention, as the policy has it."""

    name: str
    rules: list[tuple[str, str]]
    """What each rule is about, and what it says."""
    line: int
    """Where it stands in the text."""


@dataclass(frozen=True)
class Section:
    """One process of the policy."""

    name: str
    summary: str
    steps: list[Step]
    limits: list[tuple[str, str]]
    lists: list[tuple[str, str]]
    missing: bool
    """It has no section, so its cases are refused."""


@dataclass(frozen=True)
class Rules(Context):
    """`policy/words.html`: the policy in force, process by process."""

    hash: str
    sections: list[Section]
    problem: str | None
    """Why the file as it is now is refused, and the one before stays in force."""
    warnings: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Text(Context):
    """`policy/text.html`: a policy as it was read, line by line."""

    hash: str
    lines: list[str]
    in_force: bool


@dataclass(frozen=True)
class Trial(Context):
    """`policy/explain.html`: a case as far as it is known, and what would become of it."""

    processes: list[str]
    process: str
    form: list[FormField]
    facts: list[str]
    """What the policy reads of what steps find out."""
    typed: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    explained: list[Explained] | None = None


@router.api_route("/policy", methods=["GET", "HEAD"])
async def in_force(request: Request, person: SignedIn, services: TheServices) -> Response:
    """The policy in force, in words."""
    await policy_reader(person)
    policy = services.policy.current
    known = await _people(services)
    said = warnings(policy, INPUTS, known.members), notes(policy)
    page = Rules(person, policy.hash, [_section(policy, name) for name in PROCESSES], services.policy.problem, *said)
    return render(request, "policy/words.html", page)


@router.api_route("/policy/text", methods=["GET", "HEAD"])
async def as_read(request: Request, person: SignedIn, services: TheServices) -> Response:
    """The policy in force, as it was read."""
    await policy_reader(person)
    policy = services.policy.current
    return render(request, "policy/text.html", Text(person, policy.hash, policy.text.splitlines(), True))


@router.api_route("/policy/explain", methods=["GET", "HEAD"])
async def trial(
    request: Request, person: SignedIn, services: TheServices, process: Annotated[Plain, Query(max_length=60)] = ""
) -> Response:
    """The form for a case of a process."""
    await policy_reader(person)
    return render(request, "policy/explain.html", _trial(person, services.policy.current, process))


@router.post("/policy/explain", dependencies=[Depends(from_here)])
async def tried(request: Request, person: SignedIn, services: TheServices) -> Response:
    """What the policy would do with the case of the form. Nothing is started."""
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
    page = Trial(person, page.processes, name, shown, page.facts, typed, wrong)
    if read.errors or wrong:
        return render(request, "policy/explain.html", page, 422)
    supposed = Supposed(model.model_validate(dict(read.values)), facts, typed["requester"] or None)
    found = explain(policy, name, GATES[name], supposed, datetime.now(UTC), await _people(services))
    page = Trial(person, page.processes, name, shown, page.facts, typed, {}, found)
    return render(request, "policy/explain.html", page)


@router.api_route("/policy/{hash}", methods=["GET", "HEAD"])
async def pinned(
    request: Request, hash: Annotated[str, Path(max_length=64)], person: SignedIn, services: TheServices, db: Db
) -> Response:
    """The text of a policy that cases were decided by."""
    await policy_reader(person)
    current = services.policy.current
    text = current.text if hash == current.hash else (await one_policy(hash, person, db)).text
    return render(request, "policy/text.html", Text(person, hash, text.splitlines(), hash == current.hash))


async def _people(services: Services) -> People:
    async with services.db.read() as conn:
        return People.of((each.id, each.name, each.groups) for each in await people.all(conn))


# ------------------------------------------------------------------------------------------------------- a case to try


def _trial(person: Any, policy: Policy, process: str) -> Trial:
    known = [name for name in PROCESSES if policy.has(name)]
    if process and process not in known:
        raise not_found("process")
    if not process:
        return Trial(person, known, "", [], [])
    model, words = INPUTS[process], PROCESSES[process].words
    read = {path for path in _read_by(policy, process) if path}
    roots = {path[0] for path in read} | set(words.money or ())
    only = [name for name, info in model.model_fields.items() if info.is_required() or name in roots]
    facts = sorted({path[1] for path in read if path[0] == "facts" and len(path) > 1})
    return Trial(person, known, process, schema_form(model, {}, words=words, only=only), facts)


def _read_by(policy: Policy, process: str) -> set[tuple[str, ...]]:
    """All that the rules of a process read of a case."""
    found: set[tuple[str, ...]] = set()
    for gate in policy.processes[process].gates.values():
        for _key, text in expressions_of(gate):
            found |= expression(text).reads
    return found


def _facts(form: FormData, names: list[str]) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """What was checked, as far as it was typed: JSON, or a text. None when nothing was."""
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
    return found or None, wrong | {name: _("Say all of them, or none.") for name in missing}


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value.replace("\0", "").strip() if isinstance(value, str) else ""


# ------------------------------------------------------------------------------------------------------ rules in words


def _section(policy: Policy, name: str) -> Section:
    summary = PROCESSES[name].words.summary
    if not policy.has(name):
        return Section(name, summary, [], [], [], missing=True)
    section = policy.processes[name]
    lines = Lines(policy.text, policy.source)
    steps = [Step(gate, in_words(rules), lines.of((name, "gates", gate))) for gate, rules in section.gates.items()]
    limits = [
        (currency, ", ".join(f"{readable(limit)} {amount:,}" for limit, amount in row.items()))
        for currency, row in section.limits.items()
    ]
    lists = [(readable(each), ", ".join(names)) for each, names in section.lists.items()]
    return Section(name, summary, steps, limits, lists, missing=False)


def in_words(gate: Gate) -> list[tuple[str, str]]:
    """The rules of an approval step: what each is about, and what it says of any case."""
    told = [(_("Asked"), _("if %(condition)s", condition=_tidy(gate.when)) if gate.when else _("for every case"))]
    if gate.auto_reject:
        told.append((_("Rejected by rule"), _("if %(condition)s", condition=_tidy(gate.auto_reject))))
    if gate.auto_approve:
        told.append((_("No approval needed"), _("if %(condition)s", condition=_tidy(gate.auto_approve))))
    whom = _whom(gate.groups, gate.users)
    if gate.candidates:
        whom = "; ".join(part for part in (whom, _("whoever %(expression)s gives", expression=gate.candidates)) if part)
    told.append((_("Who decides"), whom or _("nobody is named")))
    told.append((_("How many"), f"{_many(gate.quorum)}. {_no(gate)}"))
    if gate.separation_of_duties:
        told.append((_("Who cannot"), _("whoever asked for it, and whoever decided another step of it")))
    if gate.exclude:
        told.append((_("Never"), ", ".join(gate.exclude)))
    if gate.due:
        told.append((_("Due"), _clock(gate.due, gate.calendar)))
    if gate.remind:
        told.append((_("Reminders"), "; ".join(_clock(each, gate.calendar) for each in gate.remind)))
    for level in gate.escalate:
        place = _("in place of those before") if level.replace else _("too")
        told.append(
            (
                _("Escalation"),
                _(
                    "%(when)s these may decide %(place)s: %(whom)s",
                    when=_clock(level.after, gate.calendar),
                    place=place,
                    whom=_whom(level.to, level.users),
                ),
            )
        )
    told.append((_("At its end"), _end(gate)))
    if gate.edit:
        told.append(
            (_("May be changed"), _("with an approval: %(fields)s", fields=", ".join(map(readable, gate.edit))))
        )
    rounds = ngettext("%(num)s round", "%(num)s rounds", gate.rounds)
    changes = _clock(gate.changes, gate.calendar)
    told.append((_("Sent back"), _("at most %(rounds)s, to be answered %(when)s", rounds=rounds, when=changes)))
    return told


def _whom(groups: list[str], users: list[str]) -> str:
    named = [_("members of %(group)s", group=group) for group in groups]
    named += [_("the requester's manager") if "(" in user else user for user in users]
    return ", ".join(named)


def _many(quorum: int | str) -> str:
    if quorum == EVERYONE:
        return _("all of them")
    if isinstance(quorum, int):
        return ngettext("%(num)s approval", "%(num)s approvals", quorum)
    return _("as many approvals as this gives: %(expression)s", expression=_tidy(quorum))


def _no(gate: Gate) -> str:
    if gate.veto:
        return _('One "no" ends it.')
    return _('A "no" ends it only when so many approvals can no longer be reached.')


def _end(gate: Gate) -> str:
    if not gate.expires:
        return _("it stays open until somebody decides")
    ends = {
        "reject": _("it is rejected: the case ran out of time and is undone"),
        "approve": _("it is approved"),
        "escalate": _("all of its levels may decide, once more as long; then it is rejected"),
    }
    return _("%(when)s, %(what)s", when=_clock(gate.expires, gate.calendar), what=ends[gate.on_expiry])


def _clock(text: str, calendar: str | None) -> str:
    """When a clock strikes, counted from the opening of the step."""
    try:
        written = duration(text)
    except ExpressionError:
        written = None
    if written is None:
        return _("when this says: %(expression)s", expression=_tidy(text))
    days, rest = divmod(int(written.total_seconds()), 86400)
    parts = [
        ngettext("%(num)s day", "%(num)s days", days) if days else "",
        _("%(num)s h", num=rest // 3600) if rest // 3600 else "",
        _("%(num)s min", num=rest // 60 % 60) if rest // 60 % 60 else "",
        _("%(num)s s", num=rest % 60) if rest % 60 else "",
    ]
    length = " ".join(part for part in parts if part)
    if calendar:
        return _("after %(length)s of the working time %(calendar)s", length=length, calendar=calendar)
    return _("after %(length)s", length=length)


def _tidy(text: str) -> str:
    return " ".join(text.split())
