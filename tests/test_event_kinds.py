"""The kinds of audit events, their wording, and what identifies an event."""

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.http.schemas import TimelineItem
from api.pages.event_words import WORDINGS, sentence
from api.pages.parts.timeline import timeline as history
from domain.event_kinds import SENTENCES, EventKind, identity_of
from store.audit import counters, feed, timeline
from store.cases import recounts
from store.notifications import fan_out
from workflows.engine.journal import Journal
from workflows.engine.saga import Saga

ROOT = Path(__file__).parent.parent
PRODUCT = (
    "activities",
    "api",
    "cases",
    "channels",
    "domain",
    "intake",
    "ops",
    "plugins",
    "policy",
    "store",
    "workflows",
)
PROSE = SENTENCES | {"said", "told", "message", "words", "title"}
"""Names that stand for sentences in the code."""
DIGESTS_OF_CONTENT = {
    "api/pages/inbox.py": "the comment that a person typed, to tell a form sent twice from another one",
    "store/audit/row_digest.py": "a row as JSON, so that a changed row is found",
    "domain/messages.py": "a decision as JSON, to tell a repeat from a reused id",
}
"""Digests that must change with every letter of what somebody wrote: they identify no event and no group."""


def test_every_kind_that_the_code_writes_is_registered() -> None:
    written = {kind for path in _sources() for kind in _kinds_in(ast.parse(path.read_text()))}
    assert written - set(EventKind) == set()
    assert {"case_submitted", "decided", "gate_skipped", "link_sent", "account_locked", "batch_paused"} <= written


def test_every_registered_kind_is_written_or_read_somewhere() -> None:
    text = "\n".join(path.read_text() for path in _sources() if path.name != "event_kinds.py")
    by_name = [kind for kind in EventKind if not kind.startswith("batch_") and not kind.endswith("_refused")]
    assert [kind for kind in by_name if f'"{kind}"' not in text and f"EventKind.{kind.name}" not in text] == []


@pytest.mark.parametrize("read", [feed.ENDING, counters.COUNTED, fan_out._KINDS, recounts._KINDS, timeline.NOISE])
def test_every_kind_that_readers_look_for_is_registered(read: tuple[str, ...]) -> None:
    assert set(read) <= set(EventKind)


def test_every_kind_has_a_wording() -> None:
    assert set(WORDINGS) == set(EventKind)


@pytest.mark.parametrize("kind", EventKind)
def test_a_wording_needs_no_field_of_the_data(kind: EventKind) -> None:
    assert sentence(kind, "alice", {}, summary="not this one").strip() not in ("", "not this one")


@pytest.mark.parametrize("kind", EventKind)
def test_the_stored_summary_is_not_shown_for_a_known_kind(kind: EventKind) -> None:
    data = {"gate": "manager-approval", "what": "Pay ACME", "reason": "late", "person": "bob", "count": 2}
    assert sentence(kind, "alice", data, summary="one") == sentence(kind, "alice", data, summary="two")


def test_a_kind_of_a_newer_version_shows_its_summary() -> None:
    assert sentence("teleported", "alice", {}, summary=" Moved at once. ") == "Moved at once."
    assert sentence("was_teleported", "alice", {}) == "Was teleported"


def test_an_erased_event_says_that_it_was_erased() -> None:
    assert sentence("decided", "alice", None) == "Decided: content erased"


def test_the_line_of_a_withdrawn_question_repeats_the_question() -> None:
    told = {
        "question_asked": {"question": "q1", "to": "bob", "text": "Which order?"},
        "question_withdrawn": {"question": "q1", "from": "bob"},
    }
    events = [
        TimelineItem(seq=seq, at=datetime.now(UTC), kind=kind, actor="alice", summary="", data=data)
        for seq, (kind, data) in enumerate(told.items())
    ]
    assert [line.sentence for line in history("payment", {}, events)] == [
        "alice asked bob: “Which order?”",
        "alice withdrew the question to bob: “Which order?”",
    ]


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("decided", {"verdict": "approve", "comment": "Fine"}, "alice approved: “Fine”"),
        ("decided", {"verdict": "skip", "on_behalf_of": "bob"}, "alice, for bob, skipped the step"),
        ("decided", {"verdict": "resubmit"}, "alice submitted again"),
        ("gate_decided_by_rule", {"gate": "fraud-review", "decided": "reject"}, "Fraud review: rejected by rule"),
        (
            "gate_opened",
            {"gate": "manager-approval", "groups": ["managers"], "needed": 2},
            "Manager approval waits for managers (2 people)",
        ),
        (
            "step_failed",
            {"what": "Pay ACME", "cause": "The account is locked.", "attempts": 3},
            "Pay ACME: failed. The account is locked. It was tried 3 times.",
        ),
        (
            "intervention_opened",
            {"verdicts": ["retry", "skip"]},
            "Blocked: an operator is asked (retry step, skip step)",
        ),
        (
            "case_closed",
            {"status": "rejected", "rule_at": "fraud-review", "reason": "facts.score > 90"},
            "The request ended: rejected. Rejected by a rule of the policy at fraud review.",
        ),
        ("decision_withdrawn", {}, "alice took back the decision"),
        ("undo_done", {"what": "Release 5.00 GBP", "undone": False}, "Release 5.00 GBP: nothing to undo"),
        ("task_released", {"to": None}, "alice released the task"),
        ("question_asked", {"to": "bob", "text": "Why?"}, "alice asked bob: “Why?”"),
        (
            "clock_set",
            {"due_at": "2031-01-31T12:00:00+00:00", "text": "Holidays"},
            "alice changed the deadlines: due 31 Jan 2031, 12:00 UTC: “Holidays”",
        ),
        (
            "ledger_change_asked",
            {"kind": "fund", "account": "ops", "currency": "GBP", "amount": "500", "reason": "budget"},
            "alice asked to put 500.00 GBP into account ops: budget",
        ),
        ("tokens_revoked", {"person": "bob", "token_ids": ["1", "2"]}, "2 tokens of bob were revoked"),
    ],
)
def test_events_are_said_from_their_kind_and_data(kind: str, data: dict[str, Any], told: str) -> None:
    assert sentence(kind, "alice", data) == told


# ------------------------------------------------------------------------------------------------------------- identity


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.engine.journal.workflow.now", lambda: datetime(2031, 1, 1, tzinfo=UTC))


NOTED: list[tuple[str, dict[str, Any]]] = [
    ("step_done", {"step": "pay", "what": "Pay ACME", "undo": {"step": "pay", "undo": "refund", "summary": "Refund"}}),
    ("step_failed", {"step": "pay", "failure": "AccountLocked/ops", "cause": "Account 'ops' is locked.", "error": "E"}),
    ("step_failed", {"step": "pay", "failure": "AccountLocked/ops", "cause": "Account 'ops' is locked.", "error": "E"}),
    ("rollback_started", {"reason": "It failed.", "plan": ["Refund ACME"], "undos": ["refund"]}),
    ("rules_changed", {"task_id": "t", "changed": ["due at: never became soon"], "rule": "amount > 5"}),
    ("case_closed", {"status": "failed", "reason": "The account is locked.", "rule_at": ""}),
]


def _reworded(data: dict[str, Any]) -> dict[str, Any]:
    """The same data with every sentence said differently."""
    other: dict[str, Any] = {}
    for name, value in data.items():
        if name in SENTENCES:
            other[name] = ["anders gesagt"] if isinstance(value, list) else f"anders gesagt: {value}"
        else:
            other[name] = _reworded(value) if isinstance(value, dict) else value
    return other


@pytest.mark.usefixtures("clock")
def test_event_ids_stay_the_same_when_every_sentence_changes() -> None:
    now, translated = (Journal("payment:1", Saga()) for _ in range(2))
    for kind, data in NOTED:
        now.note(kind, f"{kind} happened", data)
        translated.note(kind, f"{kind} ist geschehen", _reworded(data))
    ids = [event.event_id for event in now.timeline]
    assert ids == [event.event_id for event in translated.timeline]
    assert len(set(ids)) == len(NOTED)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("actor", "data"),
    [("bob", {"task_id": "t", "n": 1}), ("alice", {"task_id": "u", "n": 1}), ("alice", {"task_id": "t", "n": 2})],
)
def test_events_with_other_actors_or_data_have_other_ids(actor: str, data: dict[str, Any]) -> None:
    journal = Journal("payment:1", Saga())
    journal.note("task_claimed", "same words", {"task_id": "t", "n": 1}, actor="alice")
    journal.note("task_claimed", "same words", data, actor=actor)
    first, second = journal.timeline
    assert first.event_id != second.event_id


def test_sentences_are_left_out_of_an_identity_at_any_depth() -> None:
    assert identity_of({"step": "pay", "cause": "said", "undo": {"undo": "refund", "summary": "said"}}) == {
        "step": "pay",
        "undo": {"undo": "refund"},
    }


def test_no_id_is_made_of_a_sentence() -> None:
    """Digests and ids take codes, names and numbers: a reworded sentence must not make another event of one."""
    wrong = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {name}"
        for path in _sources()
        if str(path.relative_to(ROOT)) not in DIGESTS_OF_CONTENT
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call | ast.keyword)
        for name in _sentences_in_id(call)
    ]
    assert wrong == []


# ------------------------------------------------------------------------------------------------------------ the code


def _sources() -> list[Path]:
    return [
        path for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py")) if "migrations" not in path.parts
    ]


def _kinds_in(tree: ast.AST) -> Iterator[str]:
    """The kinds of events that a module writes as literals."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for value in _kind_arguments(node):
                yield from _literals(value)
        elif isinstance(node, ast.Assign) and any("kind" in _names(target) for target in node.targets):
            yield from (
                text for text in _literals(node.value) if text.endswith("_refused") or text.startswith("account_")
            )


def _kind_arguments(call: ast.Call) -> Iterator[ast.expr]:
    owner, _, name = ast.unparse(call.func).rpartition(".")
    if name in ("CaseEvent", "model_validate"):
        yield from (word.value for word in call.keywords if word.arg == "kind")
    elif name == "GateEvent" or (name == "note" and owner.endswith("journal")):
        yield from call.args[:1]
    elif name in ("_note", "note") and (owner == "audit_log" or not owner):
        yield from call.args[1:2]
    elif name == "_hand_over":
        yield from call.args[2:3]


def _literals(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.Attribute) and ast.unparse(value.value) == "EventKind":
        yield EventKind[value.attr].value
    elif isinstance(value, ast.IfExp):
        yield from _literals(value.body)
        yield from _literals(value.orelse)
    elif isinstance(value, ast.Tuple):
        for each in value.elts:
            yield from _literals(each)
    elif isinstance(value, ast.JoinedStr):  # `batch_{status}`, `{what}_refused`
        said = ast.unparse(value)
        yield from (kind for kind in EventKind if said == "f'batch_{note.status}'" and kind.startswith("batch_p"))


def _names(node: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _sentences_in_id(node: ast.Call | ast.keyword) -> set[str]:
    """Names of sentences from which this call makes a digest, or this argument an event id."""
    if isinstance(node, ast.keyword):
        parts = [node.value] if node.arg in ("event_id", "group") else []
    else:
        digests = ("sha256", "_id", "id_of", "digest", "secret_hash")
        parts = list(node.args) if ast.unparse(node.func).rpartition(".")[2] in digests else []
    found = set()
    for part in parts:
        for each in ast.walk(part):
            if isinstance(each, ast.Name):
                found.add(each.id)
            elif isinstance(each, ast.Attribute):
                found.add(each.attr)
    return found & PROSE
