"""The content of messages: the subject, the lines in order, and that foreign text does no harm."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from channels.message import MessageText
from channels.message_writer import MessageWriter
from domain.notification import Letter, Notice, NoticeKind, NoticeTask
from domain.status import Outcome, Status, Verdict
from domain.task import DecisionView

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
URL = "https://holdgate.example.org"
WRITER = MessageWriter(URL, {"payment": ("payment", "payments"), "leave": ("request for leave", "requests for leave")})


def notice(number: int = 1, kind: NoticeKind = NoticeKind.TASK_OPENED, **changes: Any) -> Notice:
    """Of a payment that Rita asked for; `task` changes its task, or is None."""
    task = {
        "task_id": f"t{number}",
        "gate": "manager-approval",
        "kind": "gate",
        "question": "May it be paid?",
        "waiting": True,
        "outcome": None,
        "due_at": NOW + timedelta(hours=23, minutes=number),
        "expires_at": None,
    }
    values = {
        "kind": kind,
        "case_id": f"payment:inv-{number}",
        "process": "payment",
        "title": f"Pay Acme Ltd {number}.00 GBP",
        "status": Status.AWAITING_APPROVAL,
        "requester": "rita",
        "requester_name": "Rita",
        "amount": f"{number}.00",
        "currency": "GBP",
    }
    of_task = changes.pop("task", {})
    return Notice(**(values | changes | {"task": None if of_task is None else NoticeTask(**(task | of_task))}))


def write(*notices: Notice, person: str = "mary") -> MessageText:
    letter = Letter(message_id="m1", person=person, name=person.title(), address=None, notices=list(notices))
    text = WRITER.write(letter, NOW)
    assert "\n" not in text.subject and text.plain.endswith("\n")
    return text


def given(by: str = "Mark", verdict: Verdict = Verdict.APPROVE, comment: str = "") -> DecisionView:
    return DecisionView(decision_id="d", verdict=verdict, by=by, at=NOW, comment=comment)


def closed(outcome: Outcome, *decisions: DecisionView) -> dict[str, Any]:
    return {"waiting": False, "outcome": outcome, "decisions": decisions}


class Tags(HTMLParser):
    """The tags and links of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]

    def handle_data(self, data: str) -> None:
        self.text += data


# ----------------------------------------------------------------------------------------------------------- subjects


def test_one_task_is_named() -> None:
    assert write(notice()).subject == "Pay Acme Ltd 1.00 GBP needs your decision"


def test_many_tasks_are_counted_and_summed_by_currency() -> None:
    assert write(notice(640), notice(2_000)).subject == "2 payments need your decision, 2,640.00 GBP"
    euros = notice(3, amount="7800.50", currency="EUR")
    assert write(notice(1), notice(2), euros).subject == "3 payments need your decision, 7,800.50 EUR and 3.00 GBP"
    yen = [notice(number, amount="1000", currency="JPY") for number in (1, 2)]
    assert write(*yen).subject == "2 payments need your decision, 2,000 JPY"


def test_tasks_of_several_processes_are_counted_by_process_and_not_summed() -> None:
    leave = notice(3, process="leave", amount=None, currency=None)
    assert write(notice(1), notice(2), leave).subject == "2 payments and 1 request for leave need your decision"
    assert (
        write(leave, notice(4, process="new", amount=None)).subject
        == "1 request for leave and 1 request need your decision"
    )


@pytest.mark.parametrize(
    ("kind", "mark"),
    [
        (NoticeKind.TASK_REMINDED, "Reminder"),
        (NoticeKind.TASK_NUDGED, "Reminder from the requester"),
        (NoticeKind.TASK_ESCALATED, "Escalated to you"),
    ],
)
def test_reminders_and_escalations_are_marked(kind: NoticeKind, mark: str) -> None:
    assert write(notice(kind=kind)).subject == f"{mark}: Pay Acme Ltd 1.00 GBP needs your decision"
    assert write(notice(1, kind), notice(2, kind)).subject == f"{mark}: 2 payments need your decision, 3.00 GBP"
    mixed = write(notice(1, kind), notice(2))
    assert mixed.subject == "2 payments need your decision, 3.00 GBP"
    assert f"{mark}: Pay Acme Ltd 1.00 GBP\n" in mixed.plain and mixed.html.count(f">{mark}<") == 1


def test_operators_are_told_that_they_are_needed() -> None:
    failed = {"kind": "intervention", "question": "Hold 1.00 GBP: failed. The ledger does not answer"}
    text = write(notice(task=failed))
    assert text.subject == "Pay Acme Ltd 1.00 GBP needs an operator"
    assert "The ledger does not answer" in text.plain
    assert write(notice(1, task=failed), notice(2, task=failed)).subject == "2 payments need an operator, 3.00 GBP"


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (Status.COMPLETED, "is completed"),
        (Status.REJECTED, "was rejected"),
        (Status.EXPIRED, "expired"),
        (Status.CANCELLED, "was cancelled"),
        (Status.FAILED, "failed"),
        (Status.ROLLED_BACK, "was rolled back"),
    ],
)
def test_the_end_of_the_readers_own_case_is_named(status: Status, says: str) -> None:
    ended = notice(kind=NoticeKind.CASE_ENDED, status=status, task=None)
    assert write(ended, person="rita").subject == f"Your payment {says}: Pay Acme Ltd 1.00 GBP"


def test_an_approval_before_the_end_names_its_gate() -> None:
    approved = notice(kind=NoticeKind.TASK_DECIDED, task=closed(Outcome.APPROVED, given()))
    subject = "Your payment was approved at manager approval: Pay Acme Ltd 1.00 GBP"
    assert write(approved, person="rita").subject == subject


def test_the_ends_of_many_cases_are_counted() -> None:
    ends = [Status.COMPLETED, Status.REJECTED, Status.COMPLETED]
    notices = [
        notice(number, NoticeKind.CASE_ENDED, status=status, task=None, reason="no")
        for number, status in enumerate(ends)
    ]
    assert write(*notices, person="rita").subject == "Your payments: 2 completed, 1 rejected"


def test_what_is_gone_is_a_subject_only_when_nothing_else_is() -> None:
    gone = notice(1, NoticeKind.TASK_LOST, task=closed(Outcome.APPROVED, given()))
    assert write(gone).subject == "Pay Acme Ltd 1.00 GBP no longer needs your decision"
    other = notice(2, NoticeKind.TASK_LOST, task=closed(Outcome.CANCELLED))
    assert write(gone, other).subject == "2 payments no longer need your decision"
    assert write(gone, notice(3)).subject == "Pay Acme Ltd 3.00 GBP needs your decision"


def test_a_long_title_is_cut_in_the_subject() -> None:
    subject = write(notice(title="Pay " + "x" * 500)).subject
    assert len(subject) < 150 and subject.endswith("… needs your decision")


# -------------------------------------------------------------------------------------------------------------- lines


def test_a_line_says_what_is_asked_by_whom_and_until_when_and_leads_to_the_task() -> None:
    text = write(notice(task={"expires_at": NOW + timedelta(days=14)}))
    assert text.plain == (
        "Hello Mary,\n\n"
        "Pay Acme Ltd 1.00 GBP needs your decision.\n\n"
        "Pay Acme Ltd 1.00 GBP\n"
        "    May it be paid?\n"
        "    Requested by Rita. Due in 23 h (Wed 25 Nov, 08:31 UTC). "
        "Expires in 14 days (Tue 8 Dec, 09:30 UTC).\n"
        f"    {URL}/tasks/t1\n\n"
        "--\n"
        "Links open pages and decide nothing.\n"
        f"Choose your notifications: {URL}/notices\n"
    )
    for said in ("May it be paid?", "Requested by Rita.", "Due in 23 h (Wed 25 Nov, 08:31 UTC)"):
        assert said in Tags(text.html).text


@pytest.mark.parametrize(
    ("due", "says"),
    [
        (timedelta(minutes=1), "Due in 1 min ("),
        (timedelta(minutes=89), "Due in 1 h ("),
        (timedelta(hours=35), "Due in 35 h ("),
        (timedelta(days=3), "Due in 3 days (Fri 27 Nov, 09:30 UTC)"),
        (timedelta(days=38), "Due in 38 days (Fri 1 Jan 2027, 09:30 UTC)"),
        (timedelta(hours=-2), "Was due 2 h ago ("),
    ],
)
def test_times_are_said_in_words(due: timedelta, says: str) -> None:
    assert says in write(notice(task={"due_at": NOW + due})).plain


def test_what_waits_comes_first_the_most_urgent_on_top_then_what_is_gone_then_ones_own() -> None:
    own = notice(7, NoticeKind.CASE_ENDED, status=Status.COMPLETED, requester="mary", task=None)
    gone = notice(8, NoticeKind.TASK_LOST, task=closed(Outcome.REJECTED, given(verdict=Verdict.REJECT, comment="no")))
    never = notice(9, task={"due_at": None})
    text = write(own, gone, never, notice(2), notice(1))
    found = re.findall(r"^(?:[A-Z ]{8,}|Pay .*)$", text.plain, re.MULTILINE)
    assert found == [
        "TASKS FOR YOU",
        "Pay Acme Ltd 1.00 GBP",
        "Pay Acme Ltd 2.00 GBP",
        "Pay Acme Ltd 9.00 GBP",
        "TASKS THAT NO LONGER NEED YOUR DECISION",
        "Pay Acme Ltd 8.00 GBP",
        "YOUR REQUESTS",
        "Pay Acme Ltd 7.00 GBP",
    ]
    assert "    Rejected by Mark: “no”\n" in text.plain


def test_twenty_lines_are_shown_and_the_rest_is_counted() -> None:
    text = write(*(notice(number) for number in range(212, 0, -1)))
    assert text.subject == "212 payments need your decision, 22,578.00 GBP"
    lines = re.findall(r"^Pay Acme Ltd (\d+)", text.plain, re.MULTILINE)
    assert lines == [str(number) for number in range(1, 21)]
    assert f"\nand 192 more: {URL}/\n" in text.plain and ">and 192 more</a>" in text.html


def test_a_task_that_was_opened_and_reminded_of_is_one_line() -> None:
    text = write(notice(1), notice(1, NoticeKind.TASK_REMINDED))
    assert text.subject == "Reminder: Pay Acme Ltd 1.00 GBP needs your decision"
    assert text.plain.count("/tasks/t1") == 1


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (closed(Outcome.APPROVED, given("Mark"), given("Mia")), "Approved by Mark and Mia."),
        (
            closed(Outcome.REJECTED, given("Mark"), given("Mia", Verdict.REJECT, "too\nmuch")),
            "Rejected by Mia: “too much”",
        ),
        (closed(Outcome.SKIP, given("Olga", Verdict.SKIP)), "Operators chose “Skip step”: Olga."),
        (closed(Outcome.EXPIRED), "Nobody decided in time."),
        (closed(Outcome.APPROVED_BY_RULE), "The policy approved this step by rule."),
        (closed(Outcome.CANCELLED), "Cancelled."),
        ({"waiting": False}, "This task no longer needs your decision."),
    ],
)
def test_what_is_gone_says_how(task: dict[str, Any], says: str) -> None:
    assert f"    {says}\n" in write(notice(kind=NoticeKind.TASK_LOST, task=task)).plain


def test_a_rejected_case_says_by_whom_why_and_what_was_undone_in_one_line_of_its_own() -> None:
    no = closed(Outcome.REJECTED, given("Mark", Verdict.REJECT, "wrong bank details"))
    decided = notice(kind=NoticeKind.TASK_DECIDED, status=Status.REJECTED, task=no)
    ended = notice(
        kind=NoticeKind.CASE_ENDED,
        status=Status.REJECTED,
        task=None,
        reason="Rejected by mark at manager approval: wrong bank details",
        undone=["Release the held 1.00 GBP"],
    )
    both = write(decided, ended, person="rita").plain
    assert both.count("wrong bank details") == 1
    assert (
        "Manager approval: rejected by Mark: “wrong bank details”\n    Rolled back: Release the held 1.00 GBP.\n"
        in both
    )
    assert f"{URL}/cases/payment%3Ainv-1\n" in both
    alone = write(ended, person="rita").plain
    assert "    Rejected by mark at manager approval: wrong bank details\n    Rolled back: " in alone


def test_a_completed_case_says_who_approved_it() -> None:
    yes = notice(kind=NoticeKind.TASK_DECIDED, status=Status.COMPLETED, task=closed(Outcome.APPROVED, given("Mark")))
    ended = notice(kind=NoticeKind.CASE_ENDED, status=Status.COMPLETED, task=None, reason="Everything was done.")
    text = write(yes, ended, person="rita")
    assert text.subject == "Your payment is completed: Pay Acme Ltd 1.00 GBP"
    assert "    Manager approval: approved by Mark.\n    Completed.\n" in text.plain


# ------------------------------------------------------------------------------------------------- other people's text

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\r\nBcc: all@example.org\n\u202eDTL\u200b {{ 7*7 }}"


def test_what_people_wrote_stays_text_and_in_its_line() -> None:
    evil = notice(title=EVIL, requester_name=EVIL, task={"question": EVIL})
    gone = notice(2, NoticeKind.TASK_LOST, title=EVIL, task=closed(Outcome.APPROVED, given(EVIL, comment=EVIL)))
    own = notice(
        3,
        NoticeKind.CASE_ENDED,
        status=Status.FAILED,
        requester="mary",
        title=EVIL,
        reason=EVIL,
        undone=[EVIL],
        task=None,
    )
    text = write(evil, gone, own)
    plain = write(notice(), notice(2, NoticeKind.TASK_LOST, task=closed(Outcome.APPROVED, given(comment="x"))), own)
    found, usual = Tags(text.html), Tags(plain.html)
    assert found.tags == usual.tags and found.attributes == usual.attributes
    assert found.links == usual.links
    assert "<script>alert(1)</script>" in found.text and "{{ 7*7 }}" in found.text
    for said in (text.subject, text.plain, text.html):
        assert not re.search("[\u202e\u200b\r]", said)
    assert "Bcc" not in [line.strip()[:3] for line in text.plain.splitlines()]
    assert len(text.plain.splitlines()) == len(plain.plain.splitlines())


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    found = Tags(write(*(notice(number) for number in range(30))).html)
    assert found.tags.isdisjoint({"script", "style", "img", "link", "form", "button", "iframe"})
    assert all(link.startswith(f"{URL}/") for link in found.links)
    assert {link.removeprefix(URL) for link in found.links} <= {f"/tasks/t{n}" for n in range(30)} | {"/", "/notices"}


def test_a_payee_that_is_written_from_right_to_left_stays_before_its_amount() -> None:
    text = write(notice(title="Pay شركة النور 7.00 GBP"))
    assert "Pay <bdi>شركة النور</bdi> 7.00 GBP</a>" in text.html
    assert "<h1" in text.html and "Pay <bdi>شركة النور</bdi> 7.00 GBP needs your decision</h1>" in text.html
