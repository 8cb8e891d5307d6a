"""The code flow of OpenID Connect with PKCE: send the browser to the provider, and read the provider's answer."""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from api.oidc import tokens
from api.oidc.attempts import Attempt
from api.oidc.errors import GrantEnded, NotAccepted, ProviderDown
from api.oidc.provider import Provider

_log = logging.getLogger("holdgate.oidc")

BASIC_SCOPES = ("openid", "profile", "email")
EXTRA_SCOPES = ("groups", "offline_access")
"""Scopes that are asked for if the metadata lists them. Some providers refuse a sign-in with an unknown scope."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of a sign-in, which Holdgate keeps encrypted to read the groups again and to sign out."""

    access_token: str | None = None
    expires_at: float = 0.0
    """When the access token ends, in seconds since 1970."""
    refresh_token: str | None = None
    id_token: str | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any], before: "Tokens | None" = None) -> "Tokens":
        """Return the tokens in an answer of the token endpoint. A refresh may leave out what stays as it was before."""
        access, refresh, id_token = (_text(answer, name) for name in ("access_token", "refresh_token", "id_token"))
        lasts = answer.get("expires_in")
        seconds = float(lasts) if isinstance(lasts, int | float) and 0 < lasts < 1e9 else 300.0
        return cls(
            access_token=access,
            expires_at=time.time() + seconds,
            refresh_token=refresh or (before.refresh_token if before else None),
            id_token=id_token or (before.id_token if before else None),
        )

    def as_text(self) -> str:
        """Return the tokens as text, for encryption."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str | None) -> "Tokens | None":
        """Return the tokens of a decrypted text; None without a text."""
        return None if text is None else cls(**json.loads(text))


@dataclass(frozen=True)
class Answer:
    """What the provider says about a person: the claims of the ID token, those of userinfo, and the tokens."""

    subject: str
    claims: Mapping[str, Any]
    userinfo: Mapping[str, Any]
    tokens: Tokens

    @property
    def known(self) -> dict[str, Any]:
        """Return all claims. The ID token, which is signed, comes first."""
        return {**self.userinfo, **self.claims}

    @property
    def proved_at(self) -> datetime | None:
        """Return when the person last proved to the provider who they are; None if the provider does not say."""
        at = self.claims.get("auth_time")
        if isinstance(at, bool) or not isinstance(at, int | float) or not 0 < at <= time.time() + tokens.LEEWAY_S:
            return None
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at)


async def address(provider: Provider, attempt: Attempt, redirect_uri: str, scopes: str | None) -> str:
    """Return the address at the provider to which the browser goes. Raises ProviderDown, NotAccepted."""
    metadata = await provider.metadata()
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri,
        "scope": scopes or " ".join((*BASIC_SCOPES, *(each for each in EXTRA_SCOPES if each in metadata.scopes))),
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": attempt.challenge,
        "code_challenge_method": "S256",
    }
    if attempt.again:
        asked |= {"prompt": "login", "max_age": "0"}
    joined = "&" if urlsplit(metadata.authorization_endpoint).query else "?"
    return f"{metadata.authorization_endpoint}{joined}{urlencode(asked)}"


async def finish(provider: Provider, params: Mapping[str, str], attempt: Attempt | None, redirect_uri: str) -> Answer:
    """Return what the provider says about the person who comes back with these parameters.

    Raises NotAccepted, ProviderDown.
    """
    if attempt is None:
        raise NotAccepted("cookie")
    attempt.check(params.get("state", ""))
    metadata = await provider.metadata()
    if params.get("iss", provider.issuer) != provider.issuer or (metadata.names_itself and "iss" not in params):
        raise NotAccepted("iss", "the answer is of another provider")
    if error := params.get("error"):
        raise NotAccepted("declined" if error == "access_denied" else "provider", _word(error))
    if not (code := params.get("code")):
        raise NotAccepted("code", "the answer has no code")
    got = await provider.exchange(
        grant_type="authorization_code", code=code, redirect_uri=redirect_uri, code_verifier=attempt.verifier
    )
    claims = await tokens.id_token(provider, got.get("id_token"), attempt.nonce)
    kept = Tokens.of(got)
    try:
        said = await provider.userinfo(kept.access_token, claims["sub"]) if kept.access_token else {}
    except (ProviderDown, GrantEnded) as error:  # the ID token alone says who it is
        _log.warning("the userinfo of %s cannot be read: %s", provider.issuer, error)
        said = {}
    return Answer(claims["sub"], claims, said, kept)


async def read_again(
    provider: Provider, subject: str, kept: Tokens | None, keep: Callable[[Tokens], Awaitable[None]]
) -> Answer:
    """Return what the provider says about the person now, by the refresh token or else the access token of a sign-in.

    A refresh token often works only once, so `keep` stores the new tokens before anything else can fail.

    Raises ProviderDown, NotAccepted, and GrantEnded if the person must sign in again.
    """
    claims: Mapping[str, Any] = {}
    if kept is None:
        raise GrantEnded("tokens", "there is none")
    if kept.refresh_token is not None:
        got = await provider.exchange(grant_type="refresh_token", refresh_token=kept.refresh_token)
        kept = Tokens.of(got, kept)
        await keep(kept)
        if "id_token" in got:
            claims = await tokens.id_token(provider, got["id_token"], None)
            if claims["sub"] != subject:
                raise NotAccepted("sub", "the refreshed ID token is of another person")
    if kept.access_token is None or kept.expires_at <= time.time():
        raise GrantEnded("tokens", "the access token has ended")
    return Answer(subject, claims, await provider.userinfo(kept.access_token, subject), kept)


def _text(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    return value if isinstance(value, str) and value else None


def _word(text: str) -> str:
    """Return an error code of the provider for the log, without what no error code has."""
    return "".join(letter for letter in text[:60] if letter.isascii() and (letter.isalnum() or letter in "_-."))
