"""No token and no callback is accepted that the provider did not make for this client, this person and this attempt.

Beside each table of bad ones is a test with a good one: otherwise the table would prove nothing.
"""

import base64
import hmac
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from sqlalchemy import func, select, update

from api.oidc.attempts import COOKIE, Attempt
from api.services import live_updates
from store.people import identities
from store.tables.people import people, sessions
from tests.api.oidc.conftest import API, LOCAL, Site
from tests.support.fake_provider import AUDIENCE, CLIENT, SECRET, FakeProvider, Sign, signed, unsigned

EVIL = ECKey.generate_key("P-256", {"kid": "k1"})
OTHER = ECKey.generate_key("P-256", {"kid": "k9"})


def by(key: Any, **header: Any) -> Sign:
    """A token that another key signs."""
    header = {"alg": "ES256", "kid": "k1", **header}
    return lambda p, claims: jwt.encode(header | p.typed, claims, key, algorithms=[header["alg"]])


def with_public_key(provider: FakeProvider, claims: dict[str, Any]) -> str:
    """HS256 with the public key as the secret, by hand: joserfc refuses to sign so."""
    head, body, _ = unsigned(provider, claims, "HS256").split(".")
    mac = hmac.digest(provider.key.as_pem(private=False), f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def changed(**claims: Any) -> Sign:
    """A token with other claims; None leaves a claim out."""

    def sign(provider: FakeProvider, good: dict[str, Any]) -> str:
        return signed(provider, {name: value for name, value in (good | claims).items() if value is not None})

    return sign


def tampered(provider: FakeProvider, claims: dict[str, Any]) -> str:
    """The signature of one token and the claims of another."""
    head, _, signature = signed(provider, claims).split(".")
    return ".".join((head, signed(provider, claims | {"sub": "somebody-else"}).split(".")[1], signature))


NOW = int(time.time())
OF_ANY_TOKEN: dict[str, Sign] = {
    "alg none": unsigned,
    "alg None": lambda p, claims: unsigned(p, claims, "None"),
    "no alg": lambda p, claims: unsigned(p, claims, ""),
    "HS256 with the client secret": by(OctKey.import_key(SECRET), alg="HS256"),
    "HS256 with the public key": with_public_key,
    "another key with the same kid": by(EVIL),
    "a foreign kid": by(OTHER, kid="k9"),
    "a kid that is a path": by(OTHER, kid="../../dev/null"),
    "a foreign key with its address": by(OTHER, kid="k9", jku="https://evil.example/jwks"),
    "a foreign key in the token": by(OTHER, kid="k1", jwk=OTHER.as_dict(private=False)),
    "an RSA signature with the kid of an EC key": by(RSAKey.generate_key(2048), alg="RS256"),
    "claims of another token": tampered,
    "no signature": lambda p, claims: signed(p, claims).rpartition(".")[0] + ".",
    "aud of another client": changed(aud="another-client"),
    "aud missing": changed(aud=None),
    "aud of a wrong type": changed(aud={CLIENT: True}),
    "iss of another provider": changed(iss="https://evil.example"),
    "iss with a slash more": lambda p, claims: signed(p, claims | {"iss": p.issuer + "/"}),
    "iss missing": changed(iss=None),
    "expired": changed(exp=NOW - 3600),
    "exp missing": changed(exp=None),
    "exp as text": changed(exp=str(NOW + 3600)),
    "exp of a wrong type": changed(exp=True),
    "not valid yet": changed(nbf=NOW + 3600),
    "issued in the future": changed(iat=NOW + 3600),
    "iat missing": changed(iat=None),
    "sub missing": changed(sub=None),
    "sub as a number": changed(sub=5),
    "sub of 256 characters": changed(sub="x" * 256),
    "sub with a NUL": changed(sub="vic\0tim"),
    "no JWT": lambda _p, _claims: "eyJhbGciOiJFUzI1NiJ9",
    "five parts": lambda p, claims: signed(p, claims) + ".a.b",
    "20,000 characters": lambda p, claims: signed(p, claims | {"x": "y" * 20_000}),
    "not ASCII": lambda _p, _claims: "\u00e9.\u00e9.\u00e9",
}
OF_ID_TOKENS: dict[str, Sign] = {
    "nonce of another attempt": changed(nonce="another"),
    "nonce missing": changed(nonce=None),
    "nonce of a wrong type": changed(nonce=["x"]),
    "two audiences without azp": changed(aud=[CLIENT, "another-client"]),
    "azp of another client": changed(azp="another-client"),
    "a logout token": lambda p, claims: signed(p, claims, typ="logout+jwt"),
    "an access token": lambda p, claims: signed(p, claims, typ="at+jwt"),
    "sid of a wrong type": changed(sid=5),
}


@pytest.fixture
def victim(site: Site) -> Iterator[str]:
    site.provider.users["victim"] = {"preferred_username": "victim", "groups": ["admins"]}
    yield "victim"
    site.provider.sign = signed


async def accepted(site: Site) -> int:
    """How many people are signed in with the provider, or were ever connected to it."""
    async with site.db.read() as conn:
        of_oidc = select(func.count()).select_from(sessions).where(sessions.c.way == "oidc")
        return int(await conn.scalar(of_oidc) or 0) + len(await identities.of(conn, "victim"))


@pytest.mark.parametrize("bad", [*OF_ANY_TOKEN, *OF_ID_TOKENS])
async def test_no_bad_id_token_signs_in(site: Site, victim: str, bad: str) -> None:
    before = await accepted(site)
    site.provider.sign = {**OF_ANY_TOKEN, **OF_ID_TOKENS}[bad]
    async with site.browser() as browser:
        answer = await site.sign_in(browser, victim)
        assert answer.status_code == 401 and 'role="alert"' in answer.text, answer.text
        assert "holdgate" not in browser.cookies
    assert await accepted(site) == before


async def test_the_good_id_token_signs_in(site: Site, victim: str) -> None:
    async with site.browser() as browser:
        assert (await site.sign_in(browser, victim)).status_code == 303
    site.provider.sign = changed(aud=[CLIENT, "another-client"], azp=CLIENT, exp=int(time.time()) - 30)
    async with site.browser() as browser:
        assert (await site.sign_in(browser, victim)).status_code == 303, "two audiences, and a clock 30 s behind"


Params = dict[str, str]
CALLBACKS: dict[str, Callable[[Params, Params], Params]] = {
    "another state": lambda mine, _: mine | {"state": "another"},
    "no state": lambda mine, _: {name: value for name, value in mine.items() if name != "state"},
    "the state of another browser": lambda _, other: other,
    "the code of another browser": lambda mine, other: mine | {"code": other["code"]},
    "an unknown code": lambda mine, _: mine | {"code": "x"},
    "no code": lambda mine, _: {name: value for name, value in mine.items() if name != "code"},
    "iss of another provider": lambda mine, _: mine | {"iss": "https://evil.example"},
    "an error": lambda mine, _: mine | {"error": "server_error"},
    "access denied": lambda mine, _: mine | {"error": "access_denied", "error_description": "<script>x</script>"},
    "an error that is no word": lambda mine, _: mine | {"error": "\r\nSet-Cookie: a=b"},
    "nothing": lambda _mine, _other: {},
    "long values": lambda mine, _: mine | {"code": "x" * 5000, "session_state": "y" * 5000},
}


@pytest.mark.parametrize("bad", CALLBACKS)
async def test_no_bad_callback_signs_in(site: Site, victim: str, bad: str) -> None:
    before = await accepted(site)
    async with site.browser() as browser, site.browser() as other:
        mine = site.provider.authorize(await site.begin(browser), victim)
        others = site.provider.authorize(await site.begin(other), victim)
        answer = await site.back(browser, **CALLBACKS[bad](mine, others))
        assert answer.status_code == 401 and 'role="alert"' in answer.text, answer.text
        assert "holdgate" not in browser.cookies and "<script>x" not in answer.text
    assert await accepted(site) == before


async def test_a_provider_that_names_itself_must_do_so_in_each_answer(site: Site, victim: str) -> None:
    site.provider.metadata["authorization_response_iss_parameter_supported"] = True
    site.app.state.services.single_sign_on._provider._metadata._read_at = -1e9
    site.app.state.services.single_sign_on._provider._metadata._tried_at = -1e9
    async with site.browser() as browser:
        params = site.provider.authorize(await site.begin(browser), victim)
        del params["iss"]
        assert (await site.back(browser, **params)).status_code == 401
        assert (await site.sign_in(browser, victim)).status_code == 303


async def test_a_code_is_useless_without_the_verifier_of_its_attempt(site: Site, victim: str) -> None:
    async with site.browser() as browser:
        params = site.provider.authorize(await site.begin(browser), victim)
        forged = Attempt("/", state=params["state"])  # another nonce and verifier
        browser.cookies.clear()
        browser.cookies.set(COOKIE, site.cookie(forged))
        assert (await site.back(browser, **params)).status_code == 401


async def test_an_attempt_ends_after_ten_minutes(site: Site, victim: str) -> None:
    async with site.browser() as browser:
        old = Attempt("/", begun_at=int(time.time()) - 601)
        params = site.provider.authorize(await site.app.state.services.single_sign_on.address(old), victim)
        browser.cookies.set(COOKIE, site.cookie(old))
        answer = await site.back(browser, **params)
        assert answer.status_code == 401 and "10 minutes" in answer.text


async def test_userinfo_of_another_person_signs_in_nobody(site: Site, victim: str) -> None:
    site.provider.users["thief"] = {"preferred_username": "thief", "sub": "victim"}
    async with site.browser() as browser:
        assert (await site.sign_in(browser, "thief")).status_code == 401


# ------------------------------------------------------------------------------------------------- the API takes tokens


def access(provider: FakeProvider, sign: Sign = signed, **claims: Any) -> str:
    """An access token for the API."""
    provider.typed = {"typ": "at+jwt"}
    try:
        return sign(provider, provider.claims("victim", **{"aud": AUDIENCE, "client_id": "some-app", **claims}))
    finally:
        provider.typed = {}


OF_ACCESS_TOKENS: dict[str, Callable[[FakeProvider], str]] = {
    "typ JWT": lambda p: access(p, lambda _, claims: signed(p, claims, typ="JWT")),
    "no typ": lambda p: signed(p, p.claims("victim", aud=AUDIENCE, client_id="some-app")),
    "an ID token": lambda p: signed(p, p.claims("victim", nonce="n")),
    "an ID token for the API": lambda p: signed(p, p.claims("victim", aud=AUDIENCE, nonce="n")),
    "another audience": lambda p: access(p, aud="https://other.example"),
    "the audience of the client": lambda p: access(p, aud=CLIENT),
    "no client": lambda p: access(p, changed(client_id=None)),
    "a client of a wrong type": lambda p: access(p, client_id=["x"]),
    "bound to a key": lambda p: access(p, cnf={"jkt": "x"}),
    "an unknown account": lambda p: access(p, sub="nobody-here"),
    "a program that claims to be a person": lambda p: access(p, client_id="victim"),
    "a program as Entra marks it": lambda p: access(p, idtyp="app"),
}


@pytest.mark.parametrize("bad", [*OF_ANY_TOKEN, *OF_ACCESS_TOKENS])
async def test_no_bad_access_token_calls_the_api(site: Site, victim: str, bad: str) -> None:
    async with site.browser() as browser:
        await site.sign_in(browser, victim)
    make = OF_ACCESS_TOKENS.get(bad) or (lambda provider: access(provider, OF_ANY_TOKEN[bad]))
    token = make(site.provider)
    async with site.browser() as caller:
        answer = await caller.get(f"{API}/me", headers=[(b"authorization", b"Bearer " + token.encode("latin-1"))])
    assert answer.status_code == 401 and answer.headers["content-type"] == "application/problem+json", answer.text
    assert token not in answer.text


async def test_the_good_access_token_calls_the_api_as_its_person(site: Site, victim: str) -> None:
    async with site.browser() as browser:
        await site.sign_in(browser, victim)
    async with site.browser(Authorization=f"Bearer {access(site.provider)}") as caller:
        answer = await caller.get(f"{API}/me")
        assert (answer.status_code, answer.json()["id"]) == (200, "victim")


@pytest.mark.parametrize(
    "said",
    [
        {"scope": "openid cases:read"},
        {"scope": ["openid", "cases:read"]},
        {"scp": "cases:read"},
        {"scope": "openid", "scp": [{}, "cases:read"]},
    ],
)
async def test_an_access_token_with_scopes_is_limited_however_they_are_written(
    site: Site, victim: str, said: dict[str, Any]
) -> None:
    async with site.browser() as browser:
        await site.sign_in(browser, victim)
    async with site.browser(Authorization=f"Bearer {access(site.provider, **said)}") as caller:
        assert (await caller.get(f"{API}/cases")).status_code == 200
        assert (await caller.get(f"{API}/me/tokens")).status_code == 403
        assert 'action="/sign-in"' in (await caller.get("/settings")).text


async def test_the_access_token_of_a_demo_person_is_refused_while_the_demo_is_off(site: Site) -> None:
    await site.somebody("demo-9", LOCAL)
    async with site.db.write() as conn:
        await identities.connect(conn, "demo-9", site.provider.issuer, "demo-9", "cli:root", datetime.now(UTC))
    token = access(site.provider, sub="demo-9")
    async with site.browser(Authorization=f"Bearer {token}") as caller:
        assert (await caller.get(f"{API}/me")).status_code == 200
        async with site.db.write() as conn:
            await conn.execute(update(people).where(people.c.id == "demo-9").values(demo=True))
        no = await caller.get(f"{API}/me")
        assert no.status_code == 401 and "the demo is off" in no.json()["detail"]


async def test_a_stream_lives_as_long_as_the_access_token_is_accepted(
    site: Site, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_updates, "LIFETIME_S", 0.5)
    monkeypatch.setattr(live_updates, "PING_S", 0.1)
    async with site.browser() as browser:
        await site.sign_in(browser, victim)
    async with site.browser(Authorization=f"Bearer {access(site.provider)}") as caller:
        heard = (await caller.get(f"{API}/events")).text
    assert ": ping" in heard, "the stream was not cut by its first check"
