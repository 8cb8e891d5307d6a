"""Write the text of a message (subject, plain text and HTML) from the notifications in it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from channels import account_messages
from channels.message import MessageText, clean
from domain.bidi import runs
from domain.durations import roughly
from domain.moments import weekday_and_time
from domain.notification import Letter, Notice, NoticeKind, NoticeTask
from domain.permissions import is_requester
from domain.state_words import BUTTONS, ENDED, state
from domain.status import Outcome, Status, Verdict

SHOWN = 20
"""The most lines in one section of a message. The pages of Holdgate show all tasks and cases."""

_WAITING = {
    NoticeKind.TASK_OPENED: "",
    NoticeKind.TASK_REMINDED: "Reminder",
    NoticeKind.TASK_NUDGED: "Reminder from the requester",
    NoticeKind.TASK_ESCALATED: "Escalated to you",
    NoticeKind.TASK_ASKED: "Question or answer",
}
"""The kinds of notification about a task that is still open, and the text that marks the line of the task."""
_NEEDS = {"gate": "your decision", "changes": "your changes", "intervention": "an operator"}
"""What the reader must do about an open task, by kind of task."""
_CASE = ("request", "requests")

ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class MessageLine:
    """One task or case in a message."""

    title: str
    url: str
    mark: str = ""
    sentences: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class MessageSection:
    """A heading of a message with its first lines, and the number of further lines."""

    heading: str
    shown: Sequence[MessageLine]
    more: int

    @classmethod
    def of(cls, heading: str, all_: Sequence[ItemT], line: Callable[[ItemT], MessageLine]) -> "MessageSection":
        """Return a section with a line for each of the first 20 of these items."""
        return cls(heading, [line(item) for item in all_[:SHOWN]], max(0, len(all_) - SHOWN))


class MessageWriter:
    """Writes the text of messages from their notifications."""

    def __init__(self, public_url: str, nouns: Mapping[str, tuple[str, str]]) -> None:
        """Store the arguments.

        `public_url` is the address of the gateway in links. `nouns` has the singular and the plural noun for a case, by
        process.
        """
        self._url = public_url
        self._nouns = nouns
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=select_autoescape(["html"]),
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self._templates.filters["isolated"] = _isolated

    def write(self, letter: Letter, now: datetime) -> MessageText:
        """Return the text of the message. Statuses and times in the text are those of the moment `now`."""
        if letter.account is not None:
            return account_messages.text(letter, letter.account, self._url)
        waiting, gone, own = _sorted(letter)
        subject = self._subject(waiting, gone, own)
        sections = [
            MessageSection.of("Tasks for you", waiting, lambda notice: self._waiting(notice, now)),
            MessageSection.of("Tasks that no longer need your decision", gone, self._gone),
            MessageSection.of("Your requests", own, self._own),
        ]
        said = {
            "subject": subject,
            "name": clean(letter.name),
            "sections": [section for section in sections if section.shown],
            "inbox": f"{self._url}/",
            "choices": f"{self._url}/notices",
        }
        plain, html = (self._templates.get_template(f"message.{kind}").render(said) for kind in ("txt", "html"))
        return MessageText(subject, f"{plain}\n", html)

    # ---------------------------------------------------------------------------------------------------------- subject

    def _subject(self, waiting: Sequence[Notice], gone: Sequence[Notice], own: Sequence[Sequence[Notice]]) -> str:
        """Return the subject of the message: its most important news in one line."""
        if waiting:
            return self._subject_of_waiting(waiting)
        if own:
            return self._subject_of_own([notices[-1] for notices in own])
        if len(gone) == 1:
            return f"{_short(gone[0].title)} no longer needs your decision"
        return f"{self._count(gone)} no longer need your decision"

    def _subject_of_waiting(self, waiting: Sequence[Notice]) -> str:
        marks = {_WAITING[notice.kind] for notice in waiting}
        mark = f"{marks.pop()}: " if len(marks) == 1 and marks != {""} else ""
        needs = {_needs(notice) for notice in waiting}
        needed = needs.pop() if len(needs) == 1 else "your attention"
        if len(waiting) == 1:
            return f"{mark}{_short(waiting[0].title)} needs {needed}"
        return ", ".join([f"{mark}{self._count(waiting)} need {needed}", *self._sum(waiting)])

    def _subject_of_own(self, own: Sequence[Notice]) -> str:
        if len(own) > 1:
            counted = Counter(_news(notice) for notice in own)
            processes = {notice.process for notice in own}
            _, several = self._nouns.get(processes.pop(), _CASE) if len(processes) == 1 else _CASE
            return f"Your {several}: {', '.join(f'{number:,} {news}' for news, number in counted.most_common())}"
        (notice,) = own
        one, _ = self._nouns.get(notice.process, _CASE)
        what = ENDED.get(notice.status) or f"{_happened(notice)} at {_gate(notice)}"
        return f"Your {one} {what}: {_short(notice.title)}"

    def _count(self, notices: Sequence[Notice]) -> str:
        """Return the number of cases in these notifications by process, as text: `3 payments and 1 deployment`."""
        counted = Counter(notice.process for notice in notices)
        return _joined(
            f"{number:,} {self._nouns.get(process, _CASE)[number != 1]}" for process, number in counted.most_common()
        )

    def _sum(self, notices: Sequence[Notice]) -> list[str]:
        """Return the sum of the amounts in each currency, as text.

        The list is empty if a notification has no amount, or if the notifications are about several processes.
        """
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for notice in notices:
            if notice.amount is None or notice.currency is None:
                return []
            sums[notice.currency] += Decimal(notice.amount)
        if len({notice.process for notice in notices}) > 1:
            return []
        return [_joined(f"{amount:,f} {clean(currency)}" for currency, amount in sorted(sums.items()))]

    # ------------------------------------------------------------------------------------------------------------ lines

    def _waiting(self, notice: Notice, now: datetime) -> MessageLine:
        task = _task(notice)
        clock = []
        if task.due_at:
            was = "Due" if task.due_at > now else "Was due"
            clock.append(f"{was} {_when(task.due_at, now)}.")
        if task.expires_at:
            clock.append(f"Expires {_when(task.expires_at, now)}.")
        behalf = f" on behalf of {clean(notice.behalf_name)}" if notice.behalf_name else ""
        asked = f"Requested by {clean(notice.requester_name)}{behalf}."
        return MessageLine(
            title=clean(notice.title),
            url=f"{self._url}/tasks/{quote(task.task_id, safe='')}",
            mark=_WAITING[notice.kind],
            sentences=[clean(task.question), " ".join([asked, *clock])],
        )

    def _gone(self, notice: Notice) -> MessageLine:
        task = _task(notice)
        said = _reason(notice) if task.outcome is Outcome.CANCELLED and notice.reason else _outcome(task)
        return MessageLine(
            title=clean(notice.title),
            url=f"{self._url}/tasks/{quote(task.task_id, safe='')}",
            sentences=[said],
        )

    def _own(self, notices: Sequence[Notice]) -> MessageLine:
        """Return the line of the message about one case of the reader.

        The line has the outcomes of the tasks in `notices`, oldest first, and how the case ended, unless the outcome of
        an approval step already says so.
        """
        said, last = [], notices[-1]
        for notice in notices:
            if notice.task:
                said.append(f"{_gate(notice).capitalize()}: {_lower(_outcome(notice.task))}")
        if last.kind is NoticeKind.CASE_ENDED:
            told = {notice.task.outcome for notice in notices if notice.task}
            if last.status is Status.COMPLETED:
                said.append("Completed.")
            elif last.status is Status.FAILED:
                said.append(f"Failed: {_reason(last)}")
            elif last.status.value not in told:
                said.append(_reason(last))
            if last.undone:
                said.append(f"Rolled back: {clean('; '.join(last.undone))}.")
        return MessageLine(
            title=clean(last.title), url=f"{self._url}/cases/{quote(last.case_id, safe='')}", sentences=said
        )


# ------------------------------------------------------------------------------------------------------------- grouping

_OF_OWN = (NoticeKind.CASE_ENDED, NoticeKind.TASK_DECIDED)
"""The kinds of notification that go to the requester of a case, or to the successor of the requester."""


def _sorted(letter: Letter) -> tuple[list[Notice], list[Notice], list[list[Notice]]]:
    """Return the notifications of the message in three parts, so that each task and each case appears once.

    The parts are open tasks, tasks that no longer need a decision, and the reader's own cases (one list for each case).
    """
    waiting: dict[str, Notice] = {}
    gone: dict[str, Notice] = {}
    own: defaultdict[str, list[Notice]] = defaultdict(list)
    for notice in letter.notices:
        if notice.kind is NoticeKind.TASK_ASKED and _task(notice).outcome is None:
            waiting[_task(notice).task_id] = notice
        elif (is_requester(notice, letter.person) or notice.kind in _OF_OWN) and not _to_be_changed(notice):
            own[notice.case_id].append(notice)
        elif notice.kind in _WAITING and _task(notice).waiting:
            waiting[_task(notice).task_id] = notice
        else:
            gone[_task(notice).task_id] = notice
    by_due = sorted(waiting.values(), key=lambda notice: (_task(notice).due_at is None, _task(notice).due_at or 0))
    return by_due, list(gone.values()), list(own.values())


def _to_be_changed(notice: Notice) -> bool:
    """Return True if the notification is about changes that the requester of a case must still make."""
    return notice.task is not None and notice.task.kind == "changes" and notice.task.waiting


def _gate(notice: Notice) -> str:
    return _task(notice).gate.replace("-", " ")


def _task(notice: Notice) -> NoticeTask:
    assert notice.task is not None, "only the end of a case comes without a task, and it goes to the requester"
    return notice.task


# ---------------------------------------------------------------------------------------------------------------- words


def _news(notice: Notice) -> str:
    """Return the state of one of the reader's own cases as text within a sentence: `approved`."""
    if notice.kind is NoticeKind.CASE_ENDED or not (notice.task and notice.task.outcome):
        stands = notice.status.value
    else:
        stands = notice.task.outcome.value
    return _lower(state(stands))


def _happened(notice: Notice) -> str:
    """Return what happened to a case at an approval step, as the end of a sentence: `was approved`."""
    if notice.task and notice.task.outcome is Outcome.CHANGES_REQUESTED:
        return "was sent back for changes"
    return f"was {_news(notice)}"


def _needs(notice: Notice) -> str:
    """Return what the reader must do about an open task, such as `your decision`.

    For a question to the reader, or an answer to the reader's question, the text is `your attention`.
    """
    return "your attention" if notice.kind is NoticeKind.TASK_ASKED else _NEEDS[_task(notice).kind]


def _outcome(task: NoticeTask) -> str:
    """Return a sentence that says how a task ended and who decided the task."""
    match task.outcome:
        case Outcome.APPROVED | Outcome.REJECTED:
            verdict = Verdict.APPROVE if task.outcome is Outcome.APPROVED else Verdict.REJECT
            return f"{task.outcome.value.capitalize()} by {_deciders(task, verdict)}"
        case Outcome.RETRY | Outcome.SKIP | Outcome.DONE_BY_HAND | Outcome.ROLL_BACK:
            verdict = Verdict(task.outcome.value)
            return f"Operators chose “{BUTTONS[verdict]}”: {_deciders(task, verdict)}"
        case Outcome.EXPIRED:
            return "Nobody decided in time."
        case Outcome.APPROVED_BY_RULE:
            return "The policy approved this step by rule."
        case Outcome.REJECTED_BY_RULE:
            return "The policy rejected this step by rule."
        case Outcome.CHANGES_REQUESTED:
            return f"Changes were requested by {_deciders(task, Verdict.REQUEST_CHANGES)}"
        case Outcome.RESUBMITTED:
            return f"Submitted again by {_deciders(task, Verdict.RESUBMIT)}"
        case Outcome.CANCELLED:
            return "Cancelled."
        case None:
            return "This task no longer needs your decision."


def _reason(notice: Notice) -> str:
    """Return why a case ended, as text for people.

    If a rule of the policy rejected the case, the condition of the rule is left out: readers of mails do not know the
    rules.
    """
    if notice.rule_at:
        return f"Rejected by a rule of the policy at {notice.rule_at.replace('-', ' ')}."
    return clean(notice.reason)


def _deciders(task: NoticeTask, verdict: Verdict) -> str:
    given = [decision for decision in task.decisions if decision.verdict is verdict]
    names = _joined(clean(decision.by) for decision in given)
    comments = [clean(decision.comment, 300) for decision in given if decision.comment.strip()]
    return f"{names}: {' '.join(f'“{comment}”' for comment in comments)}" if comments else f"{names}."


def _when(moment: datetime, now: datetime) -> str:
    """Return a moment such as `in 23 h (Wed 25 Nov, 09:00 UTC)`, with the year if it is not the present year."""
    far = roughly(moment - now)
    day = weekday_and_time(moment, year=moment.astimezone(UTC).year != now.year)
    return f"{f'in {far}' if moment > now else f'{far} ago'} ({day})"


def _joined(parts: Iterable[str]) -> str:
    """Return the parts as one text: `a, b and c`."""
    *first, last = [*parts] or ["nobody"]
    return f"{', '.join(first)} and {last}" if first else last


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _isolated(text: str) -> Markup:
    """Return the text as HTML that keeps its own writing direction.

    Without `<bdi>`, text from right to left would change places with a number beside the text.
    """
    parts = (Markup("<bdi>{}</bdi>").format(part) if rtl else escape(part) for part, rtl in runs(text))
    return Markup("").join(parts)


def _short(title: str) -> str:
    """Return the title as one line, cut so that it fits into a subject."""
    return clean(title, 120)
