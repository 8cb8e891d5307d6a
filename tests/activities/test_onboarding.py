"""The access that a policy gives for a request, and the welcome mail at a real mail server."""

import csv
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.user_onboarding.request import OnboardingRequest
from activities.user_onboarding.steps import Access, Onboarding, access_of
from channels.mailer import Mailer, MailNotSent
from channels.smtp.send import Smtp
from domain.errors import Refused
from domain.step import StepCall
from store.db.database import Database
from store.receivers.accounts import AccountDirectory
from tests.support.smtp_sink import Sink

LISTS: Mapping[str, Sequence[str]] = {
    "domain": ["example.org"],
    "reserved_names": ["Root", "Ａdmin"],  # noqa: RUF001
    "role_employee": ["mail"],
    "role_Engineer": ["mail", "Production", "mail"],
    "role_guest": [],
    "role_boss": ["payroll"],
    "sensitive": ["production", "payroll"],
    "owners_production": ["security", "sam"],
}


def asked(**fields: Any) -> OnboardingRequest:
    return OnboardingRequest.model_validate({"full_name": "Ada Lovelace", **fields})


def test_a_role_says_what_is_granted_and_who_is_asked_for_what_is_sensitive() -> None:
    access = access_of(asked(role="engineer"), LISTS)
    assert access.model_dump() == {
        "username": "ada.lovelace",
        "email": "ada.lovelace@example.org",
        "role": "engineer",
        "entitlements": ["mail", "Production"],
        "sensitive": [{"entitlement": "Production", "owners": ["security", "sam"]}],
    }
    assert access_of(asked(), LISTS).sensitive == []
    assert access_of(asked(role="guest", email="a@b.example"), {"role_guest": []}) == Access(
        username="ada.lovelace", email="a@b.example", role="guest", entitlements=[], sensitive=[]
    )


@pytest.mark.parametrize(
    ("fields", "lists", "said"),
    [
        ({"role": "wizard"}, LISTS, r"no role 'wizard'\. Known roles are: boss, employee, engineer, guest\."),
        ({}, {}, "Known roles are: none"),
        ({"username": "root"}, LISTS, "'root' is reserved"),
        ({"full_name": "ADMIN"}, LISTS, "'admin' is reserved"),
        ({"role": "boss"}, LISTS, "does not say who owns 'payroll'"),
        ({}, {"role_employee": []}, "names no domain"),
    ],
)
def test_what_the_lists_do_not_allow_is_refused(
    fields: dict[str, str], lists: Mapping[str, Sequence[str]], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        access_of(asked(**fields), lists)


# ---------------------------------------------------------------------------------------------------------- the welcome


class DyingDirectory(AccountDirectory):
    """Of a worker that dies after the mail was sent, and before it could take note."""

    async def note_welcome(self, key: str, case_id: str) -> None:
        raise ConnectionError(f"no note of {key} in {case_id}")


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    database = Database(sqlite_url)
    yield database
    await database.close()


async def lists(policy_hash: str) -> Mapping[str, Sequence[str]]:
    assert policy_hash == "p"
    return LISTS


def steps(directory: AccountDirectory, sink: Sink) -> Onboarding:
    return Onboarding(directory, Mailer(Smtp(f"smtp://127.0.0.1:{sink.port}", "HR <hr@example.org>")), lists)


def call(key: str = "c/send_welcome", undoes: str | None = None, **fields: Any) -> StepCall[OnboardingRequest]:
    return StepCall[OnboardingRequest](
        case_id="c", reference="IT-1", requester="rita", policy_hash="p", key=key, undoes=undoes, input=asked(**fields)
    )


async def test_a_welcome_says_all_but_a_secret_and_goes_once(database: Database, sink: Sink) -> None:
    onboarding, temporal = steps(AccountDirectory(database), sink), ActivityEnvironment()
    for _ in range(2):
        await temporal.run(onboarding.send_welcome, call(role="engineer", start_date="2031-03-17"))
    (mail,) = sink.mails
    assert (mail.to, mail.subject) == ("ada.lovelace@example.org", "Your account ada.lovelace")
    assert mail.content.get_content_type() == "text/plain"
    for said in ("Hello Ada Lovelace", "as engineer", "mail, Production", "2031-03-17"):
        assert said in mail.plain


async def test_a_copy_of_a_worker_that_died_before_it_took_note_has_the_same_id(database: Database, sink: Sink) -> None:
    temporal = ActivityEnvironment()
    with pytest.raises(ConnectionError):
        await temporal.run(steps(DyingDirectory(database), sink).send_welcome, call())
    onboarding = steps(AccountDirectory(database), sink)
    await temporal.run(onboarding.send_welcome, call())
    await temporal.run(onboarding.send_welcome, call())
    await temporal.run(onboarding.send_welcome, call("c/send_welcome#2"))
    one, copy, other = sink.mails
    assert one.message_id == copy.message_id != other.message_id
    assert one.message_id.endswith("@example.org>")


async def test_a_welcome_that_could_not_be_sent_is_sent_by_the_next_attempt(database: Database, sink: Sink) -> None:
    onboarding, temporal = steps(AccountDirectory(database), sink), ActivityEnvironment()
    sink.answer = "451 later"
    with pytest.raises(MailNotSent, match="451 later"):
        await temporal.run(onboarding.send_welcome, call())
    sink.answer = "250 OK"
    await temporal.run(onboarding.send_welcome, call())
    assert len(sink.mails) == 1


@pytest.mark.undoes("disable_account")
@pytest.mark.undoes("revoke_access")
async def test_the_steps_and_their_undos_reach_the_directory(database: Database, sink: Sink) -> None:
    directory, temporal = AccountDirectory(database), ActivityEnvironment()
    onboarding = steps(directory, sink)
    held: Access = await temporal.run(onboarding.reserve_account, call("c/reserve_account", role="engineer"))
    granted = await temporal.run(onboarding.grant_access, call("c/grant_access", role="engineer"))
    again = await temporal.run(onboarding.grant_access, call("c/grant_access", role="engineer"))
    assert granted == again and granted.entitlements == held.entitlements
    assert (await directory.account("ada.lovelace")).active
    for step, undo in (("grant_access", onboarding.revoke_access), ("reserve_account", onboarding.disable_account)):
        assert await temporal.run(undo, call(f"c/{step}/undo", undoes=f"c/{step}")) is True
        with pytest.raises(ValueError, match="came without"):
            await temporal.run(undo, call(f"c/{step}/undo"))
    account = await directory.account("ada.lovelace")
    assert account.disabled_at and all(each.revoked_at for each in account.entitlements)


def test_where_the_shipped_sample_is_read_each_row_is_valid_and_has_a_role() -> None:
    root = Path(__file__).parents[2]
    shipped = tomllib.loads((root / "config" / "policy.toml").read_text())["user_onboarding"]["lists"]
    with (root / "docs" / "samples" / "user_onboarding.csv").open(encoding="utf-8", newline="") as file:
        rows = [{name: cell for name, cell in row.items() if name != "reference"} for row in csv.DictReader(file)]
    made = [access_of(OnboardingRequest.model_validate(row), shipped) for row in rows]
    assert len({access.username for access in made}) == len(rows) == 4
