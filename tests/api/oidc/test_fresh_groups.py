"""Groups of the provider are read again before a decision if they are old, whatever the provider answers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select, update

from api.gateway.decisions import Decisions
from api.gateway.requests import DecisionRequest
from api.http.problems import Problem, unavailable
from api.oidc import fresh_groups
from api.oidc.single_sign_on import SingleSignOn
from domain.confirmation import Confirm
from domain.task import TaskView
from store.people import identities, leavers, people
from store.people.people import Person
from store.tables.people import identities as stored
from tests.api.oidc.conftest import LOCAL, Site, opened


@pytest_asyncio.fixture
async def sign_on(site: Site) -> AsyncIterator[SingleSignOn]:
    found: SingleSignOn = site.app.state.services.single_sign_on
    found._groups._down_until = 0.0
    yield found


async def signed_in(site: Site, id: str, **claims: Any) -> Person:
    """A person who signed in with these claims an hour ago."""
    site.provider.users[id] = {"preferred_username": id, **claims}
    async with site.browser() as browser:
        assert (await site.sign_in(browser, id)).status_code == 303
    await grow_old(site, id)
    return await site.person(id)


async def grow_old(site: Site, id: str) -> None:
    before = datetime.now(UTC) - timedelta(hours=1)
    its = (stored.c.person == id, stored.c.groups_read_at.is_not(None))
    async with site.db.write() as conn:
        await conn.execute(update(stored).where(*its).values(groups_read_at=before))


async def read_at(site: Site, id: str) -> datetime | None:
    async with site.db.read() as conn:
        found: datetime | None = await conn.scalar(select(stored.c.groups_read_at).where(stored.c.person == id))
    return found


@pytest.mark.parametrize("way", ["refresh token", "access token"])
async def test_old_groups_are_read_again_and_count_at_once(site: Site, sign_on: SingleSignOn, way: str) -> None:
    site.provider.gives_refresh_tokens = way == "refresh token"
    id = f"ann-{way[0]}"
    person = await signed_in(site, id, groups=["managers"])
    site.provider.users[id]["groups"] = ["directors"]
    site.provider.asked.clear()
    assert (await sign_on.fresh(person, confirm=True)).groups == ["directors"]
    assert site.provider.asked == ["/token", "/userinfo"] if way == "refresh token" else ["/userinfo"]
    site.provider.asked.clear()
    assert (await sign_on.fresh(person, confirm=True)).groups == ["managers"], "young groups are not read again"
    assert site.provider.asked == []
    await grow_old(site, id)
    assert (await sign_on.fresh(person, confirm=False)).groups == ["directors"], "a refresh token works only once"


async def test_while_the_provider_is_down_the_last_groups_count_except_with_confirm(
    site: Site, sign_on: SingleSignOn
) -> None:
    person = await signed_in(site, "bea", groups=["managers"])
    site.provider.down = True
    assert (await sign_on.fresh(person, confirm=False)).groups == ["managers"]
    site.provider.asked.clear()
    with pytest.raises(Problem) as no:
        await sign_on.fresh(person, confirm=True)
    assert no.value.status == 503 and "Example Login does not answer" in no.value.body["detail"]
    assert site.provider.asked == [], "nobody waits for a provider that has just not answered"
    site.provider.down = False
    sign_on._groups._down_until = 0.0
    assert (await sign_on.fresh(person, confirm=True)).groups == ["managers"]


async def test_a_provider_that_is_slow_does_not_hold_up_the_decision(
    site: Site, sign_on: SingleSignOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await signed_in(site, "ida", groups=["managers"])
    site.provider.users["ida"]["groups"] = ["directors"]
    monkeypatch.setattr(fresh_groups, "PATIENCE_S", 0.1)
    exchange, go_on = sign_on._provider.exchange, asyncio.Event()

    async def slow(**form: str) -> dict[str, Any]:
        await go_on.wait()
        return await exchange(**form)

    monkeypatch.setattr(sign_on._provider, "exchange", slow)
    assert (await sign_on.fresh(person, confirm=False)).groups == ["managers"]
    [reading] = sign_on._groups._running
    go_on.set()
    await reading
    assert (await site.person("ida")).groups == ["directors"], "the reading went on, and counts"


@pytest.mark.parametrize("confirm", [True, False])
async def test_a_grant_that_has_ended_needs_a_new_sign_in(site: Site, sign_on: SingleSignOn, confirm: bool) -> None:
    id = f"cid-{confirm}".lower()
    person = await signed_in(site, id, groups=["managers"])
    site.provider.forget()
    for _ in range(2):
        with pytest.raises(Problem) as no:
            await sign_on.fresh(person, confirm=confirm)
        assert (no.value.status, no.value.body["type"]) == (403, "urn:holdgate:sign-in-again")
        assert no.value.body["sign_in_url"].endswith("/sign-in/oidc")
    async with site.browser() as browser:
        await site.sign_in(browser, id)
    assert (await sign_on.fresh(person, confirm=confirm)).groups == ["managers"]


async def test_a_provider_that_says_nothing_about_groups_keeps_the_last_ones(site: Site, sign_on: SingleSignOn) -> None:
    person = await signed_in(site, "eli", groups=["managers"])
    del site.provider.users["eli"]["groups"]
    assert (await sign_on.fresh(person, confirm=True)).groups == ["managers"]
    assert (at := await read_at(site, "eli")) and at > datetime.now(UTC) - timedelta(minutes=1)


async def test_people_without_groups_of_the_provider_are_not_asked_about(site: Site, sign_on: SingleSignOn) -> None:
    await signed_in(site, "fay")
    async with site.db.write() as conn:
        await people.join(conn, "fay", LOCAL, by="holdgate")
    await site.somebody("loc", LOCAL)
    site.provider.down = True
    site.provider.asked.clear()
    for id in ("fay", "loc"):
        assert (await sign_on.fresh(await site.person(id), confirm=True)).groups == [LOCAL]
    assert site.provider.asked == [] and await read_at(site, "fay") is None


async def test_many_decisions_at_once_read_the_groups_once(site: Site, sign_on: SingleSignOn) -> None:
    person = await signed_in(site, "gus", groups=["managers"])
    site.provider.asked.clear()
    found = await asyncio.gather(*(sign_on.fresh(person, confirm=True) for _ in range(20)))
    assert {each.groups[0] for each in found} == {"managers"}
    assert site.provider.asked.count("/token") == 1


async def test_a_gateway_waits_for_another_one_that_reads_the_groups(site: Site, sign_on: SingleSignOn) -> None:
    person = await signed_in(site, "hal", groups=["managers"])
    async with site.db.write() as conn:
        [identity] = await identities.of(conn, "hal")
        now = datetime.now(UTC)
        assert await identities.take_turn(conn, identity, now, timedelta(seconds=20))
        assert not await identities.take_turn(conn, identity, now, timedelta(seconds=20))
    site.provider.asked.clear()
    waiting = asyncio.create_task(sign_on.fresh(person, confirm=True))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    async with site.db.write() as conn:
        await identities.note_reading(conn, identity, datetime.now(UTC), identity.encrypted_tokens)
    await waiting
    assert site.provider.asked == []


async def test_a_person_who_was_deactivated_meanwhile_does_not_decide(site: Site, sign_on: SingleSignOn) -> None:
    person = await signed_in(site, "jo", groups=["managers"])
    async with site.db.write() as conn:
        await leavers.deactivate(conn, "jo", "left", by="holdgate")
    with pytest.raises(Problem) as no:
        await sign_on.fresh(person, confirm=False)
    assert no.value.status == 403
    assert (await site.person("jo")).groups == []


async def test_the_last_administrator_stays_one_if_the_provider_takes_the_group_away(site: Site, tmp_path: Any) -> None:
    table = {"it": "admins", "fin": ["managers", "requesters"]}
    async with opened(tmp_path, site.provider, oidc_groups=table) as other, other.browser() as browser:
        other.provider.users["root"] = {"preferred_username": "root", "groups": ["it", "fin", "operators"]}
        await other.sign_in(browser, "root")
        assert (await other.person("root")).groups == ["admins", "managers", "requesters"], "only what the table says"
        other.provider.users["root"]["groups"] = []
        assert (await other.sign_in(browser, "root")).status_code == 303
        assert (await other.person("root")).groups == ["admins"]


async def test_the_gateway_asks_before_each_decision_and_says_if_it_must_be_confirmed(site: Site) -> None:
    asked: list[bool] = []

    async def fresh(_person: Person, *, confirm: bool) -> Person:
        asked.append(confirm)
        raise unavailable("the provider does not answer")

    nothing: Any = None
    decisions = Decisions(nothing, site.db, nothing, nothing, nothing, fresh)
    person = Person(id="anna", name="Anna", groups=["managers"])
    for confirm in (Confirm.NONE, Confirm.PASSKEY):
        known: dict[str, Any] = {"task_id": "t1", "confirm": confirm}
        task = TaskView.model_construct(**known)
        with pytest.raises(Problem, match="does not answer"):
            await decisions.decide(person, task, DecisionRequest(verdict="approve"), "id-1")
    assert asked == [False, True]
