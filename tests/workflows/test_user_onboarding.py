"""Onboardings with the shipped policy: accounts in the directory, mail at a real server, `kill -9` at each step."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text

from activities.user_onboarding.request import OnboardingRequest
from core.settings import load
from domain.case import CaseResult, CaseState
from domain.status import Status, Verdict
from domain.task import TaskView
from store.receivers import idempotency
from store.receivers.accounts import Account, AccountDirectory, UnknownAccount
from tests.support.engine_fixture import Handle, House, open_house
from tests.support.smtp_sink import Mail, Sink
from tests.workflows.test_kills import ALL, life, lived, mortal
from tests.workflows.test_payment import SHIPPED

HASTY = SHIPPED + "".join(
    f"[user_onboarding.steps.{step}]\nattempts = 1\n"
    for step in ("reserve_account", "grant_access", "revoke_access", "send_welcome")
)
"""So that a test need not wait a minute for what has failed to become an incident."""
MANAGER, OWNER = "manager-approval", "entitlement-approval"


def the_mail(sink: Sink) -> dict[str, Any]:
    return {"channels": "smtp", "smtp_url": f"smtp://127.0.0.1:{sink.port}", "mail_from": "HR <hr@example.org>"}


@pytest.fixture(scope="module")
def sink() -> Any:
    with Sink() as sink:
        yield sink


@pytest_asyncio.fixture(scope="module")
async def office(sink: Sink, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house that sends mail."""
    folder = tmp_path_factory.mktemp("office")
    async with open_house(folder, settings=load(var=folder, **the_mail(sink))) as house:
        yield house


@pytest.fixture
def name() -> str:
    """A username of its own for a test."""
    return f"ada.{uuid4().hex[:10]}"


async def take_on(office: House, username: str, policy: str = HASTY, **fields: str) -> Handle:
    request = OnboardingRequest.model_validate({"full_name": "Ada Lovelace", "username": username, **fields})
    return await office.start(request, process="user_onboarding", policy=policy, reference=f"IT-{uuid4()}")


async def account(house: House, username: str) -> Account:
    return await AccountDirectory(house.database).account(username)


def mails(sink: Sink, username: str) -> list[Mail]:
    return sink.to(f"{username}@example.org")


async def waits_at(office: House, case: Handle, *gates: str) -> list[TaskView]:
    """The open tasks of the case, as soon as they are at these gates."""

    def at_them(state: CaseState) -> bool:
        return sorted(task.gate for task in state.tasks if task.status == "open") == sorted(gates)

    return [task for task in (await office.until(case, at_them)).tasks if task.status == "open"]


async def say(
    office: House, case: Handle, gate: str, person: str, verdict: Verdict = Verdict.APPROVE, **more: Any
) -> None:
    task = await office.open_task(case, gate)
    await office.send(case, office.decision(task, person, verdict, **more))


async def counted(house: House, case: Handle) -> dict[str, int]:
    async with house.database.read() as conn:
        return await idempotency.count(conn, case.id)


async def only_disabled(office: House, case: Handle, username: str) -> None:
    """The account was held and never could be used."""
    found = await account(office, username)
    assert (found.case_id, found.active, found.activated_at, found.entitlements) == (case.id, False, None, [])
    assert found.disabled_at is not None
    assert await counted(office, case) == {"reserve_account": 1, "disable_account": 1}


# ------------------------------------------------------------------------------------------------------- the happy way


async def test_manager_and_owner_are_asked_at_once_and_then_the_account_is_used_and_welcomed(
    office: House, sink: Sink, name: str
) -> None:
    case = await take_on(office, name, role="engineer", manager="mia", start_date="2031-03-17")
    asked = {task.gate: task for task in await waits_at(office, case, MANAGER, OWNER)}
    assert (asked[MANAGER].candidate_users, asked[MANAGER].candidate_groups) == (["mia"], [])
    assert (asked[OWNER].candidate_users, asked[OWNER].candidate_groups) == ([], ["security"])
    assert asked[OWNER].summary == f"May Ada Lovelace ({name}, engineer) have production?"
    held = await account(office, name)
    assert not held.active and held.disabled_at is None and mails(sink, name) == []
    await say(office, case, OWNER, "sam")
    assert not (await account(office, name)).active
    await say(office, case, MANAGER, "mia")
    result = await office.end(case)
    assert result.status is Status.COMPLETED
    assert result.output and result.output["entitlements"] == ["mail", "wiki", "source", "production"]
    used = await account(office, name)
    assert used.active and used.case_id == case.id and used.manager == "mia"
    assert sorted(each.entitlement for each in used.entitlements) == ["mail", "production", "source", "wiki"]
    (mail,) = mails(sink, name)
    assert mail.subject == f"Your account {name}" and "2031-03-17" in mail.plain
    assert await counted(office, case) == {"reserve_account": 1, "grant_access": 1, "send_welcome": 1}


async def test_without_a_manager_any_manager_decides_and_what_is_not_sensitive_needs_nobody_else(
    office: House, sink: Sink, name: str
) -> None:
    case = await take_on(office, name, email=f"{name}@elsewhere.example")
    (task,) = await waits_at(office, case, MANAGER)
    assert task.candidate_groups == ["managers"]
    await say(office, case, MANAGER, "moe")
    assert (await office.end(case)).status is Status.COMPLETED
    assert [each.to for each in sink.mails if name in each.to] == [f"{name}@elsewhere.example"]


async def test_each_sensitive_entitlement_is_asked_about_and_one_owner_may_answer_for_all_of_theirs(
    office: House, name: str
) -> None:
    policy = HASTY.replace('"source", "production"]', '"payroll", "production"]')
    policy = policy.replace('owners_payroll = ["directors"]', 'owners_payroll = ["security"]')
    case = await take_on(office, name, policy, role="engineer", manager="mia")
    asked = await waits_at(office, case, MANAGER, OWNER, OWNER)
    assert {task.facts["entitlement"] for task in asked if task.gate == OWNER} == {"payroll", "production"}
    for task in asked:
        await office.send(case, office.decision(task, "mia" if task.gate == MANAGER else "sam"))
    assert (await office.end(case)).status is Status.COMPLETED


async def test_who_decided_as_the_manager_does_not_decide_as_an_owner_too(office: House, name: str) -> None:
    policy = HASTY.replace('choose_from = ["managers",', 'choose_from = ["managers", "security",')
    case = await take_on(office, name, policy, role="engineer", manager="sam")
    await say(office, case, MANAGER, "sam")
    with pytest.raises(Exception, match="failed") as refused:
        await say(office, case, OWNER, "sam")
    assert "another step of this request" in str(refused.value.__cause__)
    await say(office, case, OWNER, "sue")
    assert (await office.end(case)).status is Status.COMPLETED


# -------------------------------------------------------------------------------------------- what people do not allow


@pytest.mark.undoes("disable_account")
@pytest.mark.parametrize(("gate", "person"), [(MANAGER, "mia"), (OWNER, "sam")])
async def test_one_no_ends_it_and_the_name_is_free_again(
    office: House, sink: Sink, name: str, gate: str, person: str
) -> None:
    case = await take_on(office, name, role="engineer", manager="mia")
    await waits_at(office, case, MANAGER, OWNER)
    await say(office, case, gate, person, Verdict.REJECT)
    result = await office.end(case)
    assert (result.status, result.undone) == (Status.REJECTED, [f"Disable the account {name}"])
    await only_disabled(office, case, name)
    assert mails(sink, name) == []
    again = await take_on(office, name)
    await say(office, again, MANAGER, "max")
    assert (await office.end(again)).status is Status.COMPLETED
    assert (await account(office, name)).case_id == again.id


async def test_what_nobody_decides_in_thirty_days_expires(office: House, name: str) -> None:
    case = await take_on(office, name)
    await waits_at(office, case, MANAGER)
    await office.forward(case, timedelta(days=31))
    assert (await office.end(case)).status is Status.EXPIRED
    await only_disabled(office, case, name)


async def test_who_asked_may_think_better_of_it(office: House, name: str) -> None:
    case = await take_on(office, name)
    await waits_at(office, case, MANAGER)
    await office.cancel(case)
    assert (await office.end(case)).status is Status.CANCELLED
    await only_disabled(office, case, name)


@pytest.mark.parametrize("manager", ["rita", "no-such-person"])
async def test_a_manager_who_cannot_decide_is_a_matter_for_operators(office: House, name: str, manager: str) -> None:
    case = await take_on(office, name, manager=manager)
    task = await office.open_task(case, "intervention")
    assert "Too few people can decide manager approval" in task.summary
    await office.send(case, office.decision(task, "olga", Verdict.ROLL_BACK, comment="name another"))
    assert (await office.end(case)).status is Status.FAILED
    await only_disabled(office, case, name)


# -------------------------------------------------------------------------------------------------------- refused names


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"role": "wizard"}, "Known roles are: accountant, employee, engineer."),
        ({"username": "ＲＯＯＴ"}, "'root' is reserved"),  # noqa: RUF001
        ({"username": "", "full_name": "Postmaster"}, "'postmaster' is reserved"),
    ],
)
async def test_what_the_policy_does_not_know_or_reserves_is_refused(
    office: House, name: str, fields: dict[str, str], said: str
) -> None:
    case = await take_on(office, fields.pop("username", name), **fields)
    result = await office.end(case)
    assert (result.status, result.undone) == (Status.FAILED, []) and said in result.reason
    assert await counted(office, case) == {}


async def test_of_two_who_want_one_name_at_once_the_second_is_refused(office: House, name: str) -> None:
    first, second = await asyncio.gather(take_on(office, name), take_on(office, name.upper()))
    ended, _ = await asyncio.wait(
        [asyncio.create_task(office.end(case)) for case in (first, second)], return_when=asyncio.FIRST_COMPLETED
    )
    (refused,) = [each.result() for each in ended]
    assert refused.status is Status.FAILED and f"'{name}' is already in use" in refused.reason
    winner = first if refused.case_id == second.id else second
    await say(office, winner, MANAGER, "mia")
    assert (await office.end(winner)).status is Status.COMPLETED
    assert (await account(office, name)).case_id == winner.id


@pytest.mark.undoes("revoke_access")
async def test_a_completed_onboarding_that_is_rolled_back_can_be_seen_and_its_name_is_never_given_away(
    office: House, name: str
) -> None:
    case = await take_on(office, name, manager="mia")
    await say(office, case, MANAGER, "mia")
    await office.end(case)
    result = await office.end(await office.roll_back(case, policy=HASTY))
    assert result.undone == [f"Revoke the access of {name}", f"Disable the account {name}"]
    left = await account(office, name)
    assert not left.active and left.disabled_at and left.activated_at
    assert [each.revoked_at is not None for each in left.entitlements] == [True, True]
    later = await office.end(await take_on(office, name))
    assert later.status is Status.FAILED and "was in use before" in later.reason
    assert (await account(office, name)).case_id == case.id


# ----------------------------------------------------------------------------------------------- when something fails


@asynccontextmanager
async def without(office: House, table: str) -> AsyncIterator[None]:
    """The database has lost a table, until the block ends."""
    async with office.database.write() as conn:
        await conn.execute(text(f"ALTER TABLE {table} RENAME TO lost_{table}"))
    try:
        yield
    finally:
        async with office.database.write() as conn:
            await conn.execute(text(f"ALTER TABLE lost_{table} RENAME TO {table}"))


@pytest.mark.parametrize(
    ("table", "done"), [("directory_accounts", {}), ("entitlements", {"reserve_account": 1})], ids=["hold", "grant"]
)
async def test_a_directory_that_fails_is_laid_before_operators_who_try_again(
    office: House, name: str, table: str, done: dict[str, int]
) -> None:
    async with without(office, table):
        case = await take_on(office, name, manager="mia")
        if done:
            await say(office, case, MANAGER, "mia")
        task = await office.open_task(case, "intervention")
        assert await counted(office, case) == done
    await office.send(case, office.decision(task, "olga", Verdict.RETRY))
    if not done:
        await say(office, case, MANAGER, "mia")
    assert (await office.end(case)).status is Status.COMPLETED
    assert await counted(office, case) == {"reserve_account": 1, "grant_access": 1, "send_welcome": 1}


@pytest.mark.undoes("revoke_access")
async def test_an_undo_that_fails_waits_for_operators_and_is_done_once(office: House, name: str) -> None:
    case = await take_on(office, name, manager="mia")
    await say(office, case, MANAGER, "mia")
    await office.end(case)
    async with without(office, "entitlements"):
        rollback = await office.roll_back(case, policy=HASTY)
        task = await office.open_task(rollback, "intervention")
        assert (await account_row(office, name)) == (True, None)
    await office.send(rollback, office.decision(task, "olga", Verdict.RETRY))
    assert (await office.end(rollback)).status is Status.ROLLED_BACK
    assert (await account(office, name)).disabled_at
    assert (await counted(office, case))["revoke_access"] == 1


async def account_row(office: House, username: str) -> tuple[bool, Any]:
    async with office.database.read() as conn:
        asked = text("SELECT active, disabled_at FROM directory_accounts WHERE username = :name")
        row = (await conn.execute(asked, {"name": username})).one()
    return bool(row.active), row.disabled_at


async def test_a_welcome_that_no_server_takes_may_be_skipped(office: House, sink: Sink, name: str) -> None:
    sink.replies[f"{name}@example.org"] = "550 no such user"
    case = await take_on(office, name, manager="mia")
    await say(office, case, MANAGER, "mia")
    task = await office.open_task(case, "intervention")
    assert "550 no such user" in task.summary
    await office.send(case, office.decision(task, "olga", Verdict.SKIP, comment="told in person"))
    assert (await office.end(case)).status is Status.COMPLETED
    assert (await account(office, name)).active and mails(sink, name) == []


async def test_an_address_fixed_by_operators_starts_again_with_the_same_username(
    office: House, sink: Sink, name: str
) -> None:
    sink.replies[f"{name}@wrong.example"] = "550 no such user"
    case = await take_on(office, name, manager="mia", email=f"{name}@wrong.example")
    await say(office, case, MANAGER, "mia")
    task = await office.open_task(case, "intervention")
    corrected = {"email": f"{name}@example.org"}
    await office.send(case, office.decision(task, "olga", Verdict.RETRY, edits=corrected, comment="a slip"))
    await say(office, case, MANAGER, "mia")
    assert (await office.end(case)).status is Status.COMPLETED
    used = await account(office, name)
    assert used.active and used.disabled_at is None and used.email == corrected["email"]
    assert sorted((each.entitlement, each.revoked_at is None) for each in used.entitlements) == [
        ("mail", False),
        ("mail", True),
        ("wiki", False),
        ("wiki", True),
    ]
    assert len(mails(sink, name)) == 1


async def test_a_mail_server_that_was_away_gets_the_welcome_later(office: House, sink: Sink, name: str) -> None:
    sink.stop()
    try:
        case = await take_on(office, name, manager="mia")
        await say(office, case, MANAGER, "mia")
        task = await office.open_task(case, "intervention")
        assert "The mail could not be sent" in task.summary
    finally:
        sink.start()
    await office.send(case, office.decision(task, "olga", Verdict.RETRY))
    assert (await office.end(case)).status is Status.COMPLETED
    assert len(mails(sink, name)) == 1


async def test_who_skips_the_hold_cannot_have_anything_granted_without_its_owners(office: House, name: str) -> None:
    async with without(office, "directory_accounts"):
        case = await take_on(office, name, role="engineer", manager="mia")
        task = await office.open_task(case, "intervention")
    await office.send(case, office.decision(task, "olga", Verdict.SKIP, comment="no need"))
    await say(office, case, MANAGER, "mia")
    result = await office.end(case)
    assert result.status is Status.FAILED and "is reserved for this case" in result.reason
    with pytest.raises(UnknownAccount):
        await account(office, name)


async def test_after_all_these_cases_the_audit_log_verifies(office: House) -> None:
    assert await office.audit_problems() == []


# -------------------------------------------------------------------------------------------------------------- kill -9

STEADY = SHIPPED + "".join(
    f'[user_onboarding.steps.{step}]\ntime_limit = "2s"\n' for step in ("reserve", "disable", "grant", "revoke", "send")
)
KILLS = [
    (story, f"{when} {step}")
    for story, named in (
        ("approved", ("reserve_account", "grant_access", "send_welcome")),
        ("rejected", ("disable_account",)),
        ("rolled back", ("revoke_access", "disable_account")),
    )
    for step in named
    for when in ("before", "after")
]
HERE = [("approved", "after grant_access"), ("rolled back", "after revoke_access")]


@pytest.mark.timeout(240)
@pytest.mark.undoes("revoke_access")
@pytest.mark.undoes("disable_account")
@pytest.mark.parametrize("every", [ALL])
async def test_an_onboarding_whose_worker_is_killed_at_any_step_has_each_effect_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: bool
) -> None:
    with Sink() as sink:
        for setting, value in the_mail(sink).items():
            monkeypatch.setenv(f"HOLDGATE_{setting.upper()}", value)
        async with mortal(tmp_path) as (house, fate):
            named = KILLS if every else HERE

            def one(number: int, story: str, point: str) -> Awaitable[tuple[Handle, CaseResult]]:
                request = OnboardingRequest(full_name="Ada Lovelace", username=f"ada-{number}", manager="mia")
                return life(house, fate, request, "user_onboarding", STEADY, story, point)

            found = await lived(fate, [one(number, *each) for number, each in enumerate(named)])
            granted = {"reserve_account": 1, "grant_access": 1, "send_welcome": 1}
            expected = {
                "approved": (Status.COMPLETED, granted),
                "rejected": (Status.REJECTED, {"reserve_account": 1, "disable_account": 1}),
                "rolled back": (Status.ROLLED_BACK, {**granted, "revoke_access": 1, "disable_account": 1}),
            }
            for number, ((story, point), (case, result)) in enumerate(zip(named, found, strict=True)):
                left = await account(house, f"ada-{number}")
                # The death of another case may come between a mail and its mark: then there is a copy with the same id.
                welcomes = {mail.message_id for mail in mails(sink, f"ada-{number}")}
                assert (result.status, await counted(house, case)) == expected[story], point
                assert (left.active, left.disabled_at is None) == ((story == "approved",) * 2), point
                assert len(welcomes) == (story != "rejected"), point
            assert await house.audit_problems() == []
