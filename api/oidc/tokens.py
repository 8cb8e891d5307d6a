"""Check the tokens that an identity provider signs: ID tokens, logout tokens, and access tokens for the API.

The algorithms are chosen here, never by a token or by the metadata: no `none`, and no symmetric algorithm, with which a
public key could sign. The keys come only from the provider: names of keys inside a token (`jku`, `x5u`, `jwk`) are not
read.
"""

import hmac
import time
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from api.oidc.errors import NotAccepted
from api.oidc.provider import Provider

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
LEEWAY_S = 60
"""Seconds by which the clocks of the provider and of Holdgate may differ."""
LOGOUT_AGE_S = 600
"""Seconds for which a logout token is valid. For this time, its id is remembered."""
MAX_TOKEN = 16_000
"""The most characters of a token of a provider. People in many groups have long tokens."""
LONGEST_ID = 255

_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

Claims = dict[str, Any]


async def id_token(provider: Provider, token: object, nonce: str | None) -> Claims:
    """Return the claims of an ID token. `nonce` is None for the token of a refresh, which need not repeat it.

    Raises NotAccepted, ProviderDown.
    """
    header, claims = await _verified(provider, token)
    _check_type(header, "JWT")
    _check(claims, iss=provider.issuer, aud=provider.client_id, needed=("sub", "exp", "iat"))
    if nonce is not None and not _same(claims.get("nonce"), nonce):
        raise NotAccepted("nonce")
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if (len(audience) > 1 or "azp" in claims) and claims.get("azp") != provider.client_id:
        raise NotAccepted("azp")
    return claims


async def logout_token(provider: Provider, token: object) -> Claims:
    """Return the claims of a logout token (OpenID Connect Back-Channel Logout). Raises NotAccepted, ProviderDown."""
    header, claims = await _verified(provider, token)
    _check_type(header, "JWT", "logout+jwt")
    _check(claims, iss=provider.issuer, aud=provider.client_id, needed=("iat", "jti", "events"))
    events = claims["events"]
    if not isinstance(events, Mapping) or not isinstance(events.get(_LOGOUT_EVENT), Mapping):
        raise NotAccepted("events")
    if "nonce" in claims:  # an ID token must never end a session
        raise NotAccepted("nonce")
    if claims["iat"] < time.time() - LOGOUT_AGE_S - LEEWAY_S:
        raise NotAccepted("iat")
    if not {"sub", "sid"} & claims.keys():
        raise NotAccepted("sid")
    return claims


async def access_token(provider: Provider, token: object, audience: str) -> Claims:
    """Return the claims of an access token for this audience (RFC 9068). Raises NotAccepted, ProviderDown."""
    header, claims = await _verified(provider, token)
    _check_type(header, "at+jwt", optional=False)
    _check(claims, iss=provider.issuer, aud=audience, needed=("sub", "exp", "iat", "client_id"))
    if not isinstance(claims["client_id"], str):
        raise NotAccepted("client_id")
    if "cnf" in claims:  # a token that is bound to a key of its client is no bearer token
        raise NotAccepted("cnf")
    return claims


async def _verified(provider: Provider, token: object) -> tuple[Mapping[str, Any], Claims]:
    """Return the header and the claims of a token that the provider has signed.

    If the key of the token is unknown, the keys are read again once.
    """
    if not isinstance(token, str) or not token.isascii() or len(token) > MAX_TOKEN or token.count(".") != 2:
        raise NotAccepted("token", "this is no signed JWT")
    for fresh in (False, True):
        keys = await provider.keys(fresh=fresh)
        try:
            found = jwt.decode(token, keys, algorithms=ALGORITHMS)
        except InvalidKeyIdError as error:
            if fresh:
                raise NotAccepted("key", "the provider has no such key") from error
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise NotAccepted("signature", type(error).__name__) from error
        else:
            return found.header, found.claims
    raise AssertionError("the second attempt returns or raises")


def _check_type(header: Mapping[str, Any], *allowed: str, optional: bool = True) -> None:
    """Refuse a token of another type. With `optional`, a token may say no type."""
    said = header.get("typ")
    if said is None and optional:
        return
    name = said.lower().removeprefix("application/") if isinstance(said, str) else ""
    if name not in {each.lower() for each in allowed}:
        raise NotAccepted("typ")


def _check(claims: Claims, *, iss: str, aud: str, needed: tuple[str, ...]) -> None:
    options: dict[str, ClaimsOption] = {name: {"essential": True} for name in needed}
    options |= {"iss": {"essential": True, "value": iss}, "aud": {"essential": True, "value": aud}}
    try:
        JWTClaimsRegistry(None, LEEWAY_S, **options).validate(claims)
    except JoseError as error:
        why = getattr(error, "claim", "").partition(",")[0]
        raise NotAccepted(why or "claims", type(error).__name__) from error
    for name in {"sub", "sid"} & claims.keys():  # both are stored
        said = claims[name]
        if not isinstance(said, str) or not said.isprintable() or not 1 <= len(said) <= LONGEST_ID:
            raise NotAccepted(name)


def _same(said: object, expected: str) -> bool:
    return isinstance(said, str) and said.isascii() and hmac.compare_digest(said, expected)
