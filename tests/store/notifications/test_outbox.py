"""Notifications: who gets which, when, in how few messages, and their final state."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text, update

from domain.notification import NoticeChoice, NoticeKind
from domain.status import Outcome, Status, Verdict
from domain.task import Quorum
from store.audit import audit_log
from store.db.database import Database
from store.notifications import choices, outbox
from store.people import people
from store.tables.notifications import notices
from store.tables.people import people as people_table
from tests.store.outbox_fixture import CHANNELS, WINDOW, Mailroom, at, seconds, told

MANAGERS = ["manager-1", "manager-2"]


def both(said: list[str]) -> dict[str, list[str]]:
    return dict.fromkeys(MANAGERS, said)


@pytest.fixture
async def room(db: Database) -> Mailroom:
    room = Mailroom(db)
    await room.staff()
    return room


async def choose(room: Mailroom, person: str, **chosen: str) -> None:
    async with room.db.write() as conn:
        await choices.choose(conn, person, {NoticeKind(kind): NoticeChoice(choice) for kind, choice in chosen.items()})


# ------------------------------------------------------------------------------------------------------- who is told


async def test_a_task_is_told_to_all_who_may_decide_it_and_not_to_its_requester(room: Mailroom) -> None:
    await room.open()
    assert await room.noted(NoticeKind.TASK_OPENED) == MANAGERS


async def test_a_candidate_user_is_told_too_and_who_decided_an_earlier_gate_is_not(room: Mailroom) -> None:
    await room.open(candidate_users=["director-1"], excluded_users=["manager-2"])
    assert await room.noted(NoticeKind.TASK_OPENED) == ["director-1", "manager-1"]


async def test_somebody_who_has_left_is_not_told(room: Mailroom) -> None:
    async with room.db.write() as conn:
        await conn.execute(update(people_table).where(people_table.c.id == "manager-2").values(active=False))
    await room.open()
    assert await room.noted(NoticeKind.TASK_OPENED) == ["manager-1"]


async def test_a_gate_that_needed_nobody_notifies_nobody(room: Mailroom) -> None:
    view = await room.open(candidate_groups=[])
    assert await room.noted(NoticeKind.TASK_OPENED) == []
    assert (await room.stored_task(view.task_id)).status == "open"


async def test_an_intervention_is_told_to_the_operators(room: Mailroom) -> None:
    await room.open(kind="intervention", gate="intervention", candidate_groups=["operators"])
    assert await room.noted(NoticeKind.TASK_OPENED) == ["operator-1", "operator-2"]


async def test_a_reminder_is_for_those_who_have_not_decided(room: Mailroom) -> None:
    view = await room.open(quorum=Quorum(needed=2))
    await room.decide(view, "manager-1")
    await room.remind(view)
    assert await room.noted(NoticeKind.TASK_REMINDED) == ["manager-2"]


@pytest.mark.parametrize("kind", ["gate_escalated", "gate_expired"])
async def test_an_escalation_is_told_to_those_who_are_new(room: Mailroom, kind: str) -> None:
    view = await room.open(candidate_users=["operator-1"])
    await room.escalate(view, "directors", "operators", kind=kind)
    assert await room.noted(NoticeKind.TASK_ESCALATED) == ["director-1", "operator-2"]
    assert await room.noted(NoticeKind.TASK_EXPIRED) == []


@pytest.mark.parametrize("outcome", [Outcome.APPROVED, Outcome.REJECTED])
async def test_how_a_gate_was_decided_is_told_to_the_requester(room: Mailroom, outcome: Outcome) -> None:
    view = await room.open()
    await room.close(view, outcome)
    assert await room.noted(NoticeKind.TASK_DECIDED) == ["requester-1"]


@pytest.mark.parametrize("outcome", [Outcome.RETRY, Outcome.SKIP, Outcome.ROLL_BACK])
async def test_what_operators_chose_is_not_told_to_the_requester(room: Mailroom, outcome: Outcome) -> None:
    view = await room.open(kind="intervention", gate="intervention", candidate_groups=["operators"])
    await room.close(view, outcome)
    assert await room.noted(NoticeKind.TASK_DECIDED) == []


@pytest.mark.parametrize("outcome", [Outcome.EXPIRED, Outcome.APPROVED_BY_RULE])
async def test_an_expiry_is_told_to_the_requester_and_to_those_who_could_still_decide(
    room: Mailroom, outcome: Outcome
) -> None:
    view = await room.open(quorum=Quorum(needed=2))
    await room.deliver(seconds(3))
    await room.decide(view, "manager-1")
    await room.expire(view, outcome)
    assert await room.noted(NoticeKind.TASK_EXPIRED) == ["manager-2", "requester-1"]
    assert await room.noted(NoticeKind.TASK_LOST) == await room.noted(NoticeKind.TASK_DECIDED) == []


@pytest.mark.parametrize("outcome", [Outcome.APPROVED, Outcome.REJECTED, Outcome.CANCELLED])
async def test_notified_people_hear_that_a_task_is_closed_but_not_the_person_who_decided(
    room: Mailroom, outcome: Outcome
) -> None:
    view = await room.open()
    await room.deliver(seconds(3))
    await room.decide(view, "manager-1")
    await room.close(view, outcome)
    assert await room.noted(NoticeKind.TASK_LOST) == ["manager-2"]


async def test_people_who_were_not_notified_do_not_hear_that_a_task_is_closed(room: Mailroom) -> None:
    view = await room.open()
    await room.decide(view, "manager-1")
    await room.close(view, Outcome.APPROVED)
    assert told(await room.deliver(timedelta(days=1))) == {"requester-1": ["task_decided inv-1"]}


async def test_whose_message_was_refused_was_not_told_and_does_not_hear_that_the_task_is_gone(room: Mailroom) -> None:
    view = await room.open()
    await room.wait(seconds(2))
    for message_id, _ in await room.outbox.due("smtp", room.now, 10):
        await room.outbox.refused(message_id, room.now, "550 no such user")
    await room.close(view, Outcome.CANCELLED)
    assert await room.noted(NoticeKind.TASK_LOST) == []


async def test_the_end_of_a_case_is_told_to_its_requester(room: Mailroom) -> None:
    view = await room.open()
    await room.end(view, Status.CANCELLED)
    assert await room.noted(NoticeKind.CASE_ENDED) == ["requester-1"]


async def test_without_an_address_people_are_told_on_the_console_only(room: Mailroom) -> None:
    async with room.db.write() as conn:
        await people.set_email(conn, "manager-1", None, by="admin-1")
    await room.open()
    assert await room.noted(NoticeKind.TASK_OPENED) == ["manager-2"]
    assert {letter.person for letter in await room.deliver(seconds(2), "console")} == set(MANAGERS)


# --------------------------------------------------------------------------------------------------------------- when


async def test_the_first_message_goes_at_once_and_the_next_after_five_minutes(room: Mailroom) -> None:
    await room.open("INV-1")
    assert told(await room.deliver(seconds(1.9))) == {}
    assert told(await room.deliver(seconds(0.1))) == both(["task_opened inv-1"])
    for number in (2, 3):
        await room.open(f"INV-{number}")
        await room.deliver(seconds(60))
    assert told(await room.deliver(WINDOW - seconds(121))) == {}
    later = await room.deliver(seconds(1))
    assert told(later) == both(["task_opened inv-2", "task_opened inv-3"])
    assert len(later) == 2


async def test_the_window_counts_from_when_a_message_was_sent_and_not_from_when_it_was_made(room: Mailroom) -> None:
    await room.open("INV-1", candidate_groups=[], candidate_users=["manager-1"])
    await room.wait(seconds(2))
    await room.open("INV-2", candidate_groups=[], candidate_users=["manager-1"])
    await room.wait(2 * WINDOW)
    (first,) = await room.deliver()
    assert told([first]) == {"manager-1": ["task_opened inv-1"]}
    assert await room.deliver(WINDOW - seconds(1)) == []
    assert told(await room.deliver(seconds(1))) == {"manager-1": ["task_opened inv-2"]}


async def test_the_channels_do_not_wait_for_each_other(room: Mailroom) -> None:
    await room.open("INV-1")
    assert len(await room.deliver(seconds(2), "console")) == 2
    await room.open("INV-2")
    assert told(await room.deliver(WINDOW, "console"))["manager-1"] == ["task_opened inv-2"]
    assert told(await room.deliver())["manager-1"] == ["task_opened inv-1"]


async def test_an_approval_and_the_end_of_its_case_are_one_message(room: Mailroom) -> None:
    view = await room.open()
    await room.close(view, Outcome.APPROVED)
    await room.deliver(seconds(1))
    await room.end(view, Status.COMPLETED)
    (letter,) = await room.deliver(seconds(5))
    assert told([letter]) == {"requester-1": ["task_decided inv-1", "case_ended inv-1"]}


async def test_what_waits_for_the_digest_goes_along_with_a_message_that_goes_anyway(room: Mailroom) -> None:
    await choose(room, "manager-1", task_opened="digest", task_reminded="off")
    await choose(room, "manager-2", task_opened="digest")
    view = await room.open()
    assert await room.deliver(seconds(30)) == []
    await room.remind(view)
    assert told(await room.deliver(seconds(3))) == {"manager-2": ["task_opened inv-1", "task_reminded inv-1"]}


async def test_the_digest_of_a_day_is_one_message_at_eight(room: Mailroom) -> None:
    await choose(room, "manager-1", task_opened="digest")
    await choose(room, "manager-2", task_opened="off")
    await room.open("INV-1")
    await room.deliver(seconds(600))
    await room.open("INV-2")
    await room.deliver(seconds(1))
    room.now = at(7, 59, day=1)
    assert await room.deliver() == []
    room.now = at(8, 0, day=1)
    assert told(await room.deliver()) == {"manager-1": ["task_opened inv-1", "task_opened inv-2"]}


async def test_what_is_turned_off_is_not_sent_any_more(room: Mailroom) -> None:
    await room.open()
    await room.deliver(seconds(1))
    await choose(room, "manager-1", task_opened="off")
    assert set(told(await room.deliver(seconds(5)))) == {"manager-2"}


async def test_who_has_chosen_nothing_has_the_defaults(room: Mailroom) -> None:
    async with room.db.read() as conn:
        chosen = await choices.of(conn, "manager-1")
    digest = {kind for kind, choice in chosen.items() if choice is NoticeChoice.DIGEST}
    assert set(chosen) == set(NoticeKind) and digest == {NoticeKind.TASK_DECIDED, NoticeKind.TASK_LOST}
    assert NoticeChoice.OFF not in chosen.values()


async def test_a_choice_can_be_changed_and_leaves_the_others(room: Mailroom) -> None:
    await choose(room, "manager-1", task_opened="off", task_lost="at_once")
    await choose(room, "manager-1", task_opened="digest")
    async with room.db.read() as conn:
        chosen = await choices.of(conn, "manager-1")
    assert chosen == {
        **choices.DEFAULTS,
        NoticeKind.TASK_OPENED: NoticeChoice.DIGEST,
        NoticeKind.TASK_LOST: NoticeChoice.AT_ONCE,
    }


# ------------------------------------------------------------------------------------------------------------ batches


async def test_a_batch_is_one_message_ten_seconds_after_its_import(room: Mailroom) -> None:
    batch_id = await room.upload()
    for number in range(3):
        await room.open(f"INV-{number}", batch_id=batch_id)
        await room.deliver(seconds(30))
    await room.uploaded(batch_id)
    assert await room.deliver(seconds(4)) == []
    await room.open("INV-3", batch_id=batch_id)  # the last cases still reach their gates
    assert await room.deliver(seconds(5)) == []
    letters = await room.deliver(seconds(1))
    assert told(letters) == both([f"task_opened inv-{number}" for number in range(4)])
    assert len(letters) == 2
    assert [notice.amount for notice in letters[0].notices] == ["10.00"] * 4


async def test_a_batch_is_waited_for_no_longer_than_one_window(room: Mailroom) -> None:
    batch_id = await room.upload()
    await room.open("INV-1", batch_id=batch_id)
    await room.deliver(seconds(200))
    await room.open("INV-2", batch_id=batch_id)
    assert await room.deliver(seconds(99)) == []
    assert told(await room.deliver(seconds(1))) == both(["task_opened inv-1", "task_opened inv-2"])
    await room.open("INV-3", batch_id=batch_id)
    assert told(await room.deliver(WINDOW)) == both(["task_opened inv-3"])


async def test_a_batch_does_not_keep_other_tasks_waiting_and_does_not_go_with_them(room: Mailroom) -> None:
    batch_id = await room.upload()
    await room.open("INV-1", batch_id=batch_id)
    await room.open("INV-2")
    assert told(await room.deliver(seconds(5))) == both(["task_opened inv-2"])
    await room.uploaded(batch_id)
    assert told(await room.deliver(WINDOW)) == both(["task_opened inv-1"])


# ------------------------------------------------------------------------------------------------------------ sealing


async def test_what_has_lost_its_point_is_not_sent(room: Mailroom) -> None:
    decided, half = await room.open("INV-1"), await room.open("INV-2", quorum=Quorum(needed=2))
    await room.deliver(seconds(1))
    await room.close(decided, Outcome.APPROVED)
    await room.decide(half, "manager-1")
    assert told(await room.deliver(seconds(5))) == {"manager-2": ["task_opened inv-2"]}


async def test_who_is_no_longer_asked_is_not_told(room: Mailroom) -> None:
    view = await room.open()
    await room.deliver(seconds(1))
    async with room.db.write() as conn:
        await conn.execute(update(people_table).where(people_table.c.id == "manager-1").values(active=False))
        await people.set_email(conn, "manager-2", None, by="admin-1")
    told = await room.deliver(seconds(5))
    assert [letter for letter in told if letter.notices] == []
    told = await room.deliver(seconds(5), "console")
    assert [letter.person for letter in told if letter.notices] == ["manager-2"]
    assert (await room.stored_task(view.task_id)).status == "open"


async def test_a_sealed_message_keeps_its_notices_and_its_id_however_often_it_is_tried(room: Mailroom) -> None:
    await room.open("INV-1", candidate_groups=[], candidate_users=["manager-1"])
    await room.wait(seconds(2))
    ((message_id, attempts),) = await room.outbox.due("smtp", room.now, 10)
    assert attempts == 0
    first = await room.outbox.letter(message_id)
    await room.outbox.postponed(message_id, room.now + seconds(5), "450 not now")
    await room.open("INV-2", candidate_groups=[], candidate_users=["manager-1"])
    await room.wait(seconds(4))
    assert await room.outbox.due("smtp", room.now, 10) == []
    await room.wait(2 * WINDOW)
    assert await room.outbox.due("smtp", room.now, 10) == [(message_id, 1)]
    assert await room.outbox.letter(message_id) == first


async def test_a_message_that_was_refused_is_over_and_the_next_one_is_tried(room: Mailroom) -> None:
    await room.open("INV-1", candidate_groups=[], candidate_users=["manager-1"])
    await room.wait(seconds(2))
    ((message_id, _),) = await room.outbox.due("smtp", room.now, 10)
    await room.outbox.refused(message_id, room.now, "550 no such user")
    await room.outbox.sent(message_id, room.now)  # a late answer of another worker changes nothing
    await room.open("INV-2", candidate_groups=[], candidate_users=["manager-1"])
    assert told(await room.deliver(WINDOW)) == {"manager-1": ["task_opened inv-2"]}
    async with room.db.read() as conn:
        (line,) = [line for line in await outbox.unsent(conn) if line.channel == "smtp"]
        assert (line.state, line.person, line.notices, line.problem) == ("refused", "manager-1", 1, "550 no such user")
        assert (await outbox.lag(conn, room.now)).refused == 1


async def test_a_letter_names_people_money_and_reasons_and_nothing_else_of_the_input(room: Mailroom) -> None:
    view = await room.open(amount="2640.00")
    await room.deliver(seconds(3))
    await room.decide(view, "manager-1", Verdict.REJECT, "wrong account")
    await room.close(view, Outcome.REJECTED)
    await room.end(view, Status.REJECTED, "Rejected by manager-1", ["Release the held 2,640.00 GBP"])
    (letter,) = await room.deliver(seconds(3))
    decided, ended = letter.notices
    assert (letter.name, letter.address) == ("Requester 1", "requester-1@example.org")
    assert decided.task is not None and decided.task.outcome is Outcome.REJECTED and not decided.task.waiting
    assert [(given.by, given.comment) for given in decided.task.decisions] == [("Manager 1", "wrong account")]
    assert (ended.amount, ended.currency, ended.status) == ("2640.00", "GBP", Status.REJECTED)
    assert ended.undone == ["Release the held 2,640.00 GBP"] and ended.task is None
    assert "GB82" not in repr(letter)


async def test_a_task_that_closes_before_its_message_is_written_no_longer_waits_in_it(room: Mailroom) -> None:
    view = await room.open()
    await room.wait(seconds(2))
    await room.close(view, Outcome.APPROVED)
    for letter in await room.deliver():
        (notice,) = letter.notices
        assert notice.task is not None and not notice.task.waiting and notice.task.outcome is Outcome.APPROVED


# ----------------------------------------------------------------------------------------- one dispatcher at a time


@pytest.mark.both_databases
async def test_only_the_holder_of_the_lease_works_and_another_takes_over_when_it_falls_silent(
    room: Mailroom, another_db: Callable[[], Database]
) -> None:
    other = Mailroom(another_db(), "worker-2")
    await room.open()
    assert await room.outbox.hold(room.now)
    assert not await other.outbox.hold(room.now + seconds(14))
    await other.outbox.advance(room.now)
    assert await unread(room) > 0, "it is not its turn"
    assert await room.noted(NoticeKind.TASK_OPENED) == MANAGERS
    assert await other.outbox.hold(room.now + seconds(15))
    assert not await room.outbox.hold(room.now + seconds(16))
    await room.open("INV-2")
    await room.outbox.advance(room.now)
    assert await unread(room) > 0, "its lease has ended"
    assert await other.noted(NoticeKind.TASK_OPENED) == sorted(MANAGERS * 2)


async def unread(room: Mailroom) -> int:
    async with room.db.read() as conn:
        return (await outbox.lag(conn, room.now)).unread


@pytest.mark.both_databases
async def test_a_lease_that_is_given_back_can_be_taken_at_once(
    room: Mailroom, another_db: Callable[[], Database]
) -> None:
    other = Mailroom(another_db(), "worker-2")
    await other.outbox.let_go()  # it is not theirs to give back
    assert not await other.outbox.hold(room.now)
    await room.outbox.let_go()
    assert await other.outbox.hold(room.now)


@pytest.mark.both_databases
async def test_reading_the_audit_log_again_notifies_nobody_twice(room: Mailroom) -> None:
    await room.open()
    await room.noted(NoticeKind.TASK_OPENED)
    async with room.db.write() as conn:
        await conn.execute(text("UPDATE readers SET position = 0"))
    assert await room.noted(NoticeKind.TASK_OPENED) == MANAGERS


async def test_a_channel_that_is_switched_off_leaves_nothing_that_waits_for_ever(room: Mailroom) -> None:
    await room.open("INV-1")
    await room.wait(seconds(2))
    await room.open("INV-2")
    await room.wait(seconds(0))
    await room.outbox.let_go()
    without_mail = Mailroom(room.db, "worker-2", {"console": False})
    assert await without_mail.outbox.hold(room.now)
    async with room.db.read() as conn:
        found = {(line.channel, line.state) for line in await outbox.unsent(conn)}
    assert found == {("console", "sending"), ("console", "gathering"), ("smtp", "refused")}


# ------------------------------------------------------------------------------------------------------ for operators


async def test_operators_see_what_gathers_is_held_tried_again_and_how_late_it_is(room: Mailroom) -> None:
    async with room.db.read() as conn:
        assert await outbox.lag(conn, room.now) == outbox.Lag(due=0, oldest_s=0, refused=0, unread=0)
    await room.open("INV-1", candidate_groups=[], candidate_users=["manager-1"])
    async with room.db.read() as conn:
        assert (await outbox.lag(conn, room.now)).unread == 2
    await room.outbox.advance(room.now)
    await room.wait(seconds(2))
    ((message_id, _),) = await room.outbox.due("smtp", room.now, 10)
    await room.outbox.postponed(message_id, room.now + seconds(5), "450 not now")
    batch_id = await room.upload()
    await room.open("INV-2", batch_id=batch_id, candidate_groups=[], candidate_users=["manager-1"])
    await room.open("INV-3", candidate_groups=[], candidate_users=["manager-1"])
    await room.outbox.advance(room.now)
    async with room.db.read() as conn:
        lines = [line for line in await outbox.unsent(conn) if line.channel == "smtp"]
        assert [(line.state, line.notices, line.attempts, line.problem) for line in lines] == [
            ("gathering", 1, 0, None),
            ("held", 1, 0, None),
            ("retrying", 1, 1, "450 not now"),
        ]
        lag = await outbox.lag(conn, room.now + seconds(60))
        assert (lag.due, lag.oldest_s, lag.unread) == (4, 60, 0)  # INV-1 and INV-3, on both channels


async def test_what_was_sent_is_forgotten_after_a_month_unless_its_task_is_still_open(room: Mailroom) -> None:
    closed, still_open = await room.open("INV-1"), await room.open("INV-2")
    await room.deliver(seconds(3))
    await room.deliver(seconds(3), "console")
    await room.close(closed, Outcome.CANCELLED)
    await room.deliver(timedelta(0))

    async def known() -> int:
        async with room.db.read() as conn:
            query = select(func.count()).select_from(notices).where(notices.c.message_id.is_not(None))
            return int((await conn.execute(query)).scalar_one())

    assert await known() == 8
    room.now += timedelta(days=31)
    assert not await room.outbox.tidy(room.now)
    assert await known() == 8
    await room.close(still_open, Outcome.CANCELLED)
    assert not await room.outbox.tidy(room.now)
    assert await known() == 0


# ---------------------------------------------------------------------------------------------------------- addresses


async def test_an_address_is_kept_with_the_person_and_not_in_the_audit_log(room: Mailroom) -> None:
    async with room.db.write() as conn:
        await people.set_email(conn, "manager-1", " mary@example.com ", by="admin-1")
        await people.set_email(conn, "manager-1", "mary@example.com", by="admin-1")
        assert (await people.get(conn, "manager-1")).email == "mary@example.com"
        await people.set_email(conn, "manager-1", "", by="admin-1")
        assert (await people.get(conn, "manager-1")).email is None
    async with room.db.read() as conn:
        recorded = await audit_log.page(conn, "", limit=1000)
    changes = [event for event in recorded if event.kind == "email_changed"]
    assert [(event.actor, event.data) for event in changes] == [
        ("admin-1", {"person": "manager-1", "email": True}),
        ("admin-1", {"person": "manager-1", "email": False}),
    ]
    assert "@" not in str([(event.summary, event.data) for event in recorded])


@pytest.mark.parametrize(
    "address",
    ["mary", "mary@", "@example.com", "a b@example.org", "a@b@c", "mary@example.org\r\nBcc: x@example.org", "x" * 255],
)
async def test_what_is_no_address_is_refused_and_not_repeated(room: Mailroom, address: str) -> None:
    async with room.db.write() as conn:
        with pytest.raises(ValueError, match="this is not an e-mail address") as wrong:
            await people.set_email(conn, "manager-1", address, by="admin-1")
    assert address not in str(wrong.value)


def test_each_channel_of_these_tests_is_one_of_the_product() -> None:
    from channels.console.send import Console
    from channels.smtp.send import Smtp

    assert {kind.name: kind.needs_address for kind in (Console, Smtp)} == CHANNELS
