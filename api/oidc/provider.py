"""Talk to one identity provider: read its metadata and keys, exchange codes and refresh tokens, read userinfo.

Metadata and keys are kept for an hour. If the provider does not answer then, the old ones stay in use, so that running
sessions and tokens go on working.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote_plus, urlsplit

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet, RSAKey

from api.oidc.errors import GrantEnded, NotAccepted, ProviderDown

_log = logging.getLogger("holdgate.oidc")

KEPT_S = 3600.0
"""Seconds that metadata and keys count as current."""
PAUSE_S = 10.0
"""The least seconds between two attempts to read metadata, or keys. A token with an unknown key causes such an attempt,
and anybody can send such tokens."""
FAILED_FOR_S = 2.0
"""Seconds that a failure counts if there is no old value, so that many people who sign in wait for one attempt."""
LEAST_RSA_BITS = 2048
ValueT = TypeVar("ValueT")
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_OPTIONAL = ("userinfo_endpoint", "end_session_endpoint")


@dataclass(frozen=True)
class Metadata:
    """What the provider says about itself (OpenID Connect Discovery), as far as Holdgate uses it."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    scopes: frozenset[str]
    secret_in_body: bool
    """True if the token endpoint takes the client secret only in the body of the request."""
    names_itself: bool
    """True if each answer to a sign-in has the parameter `iss` (RFC 9207)."""


class Provider:
    """The identity provider of this installation, seen as the client with this id and secret."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        client_secret: str | None,
        http: httpx2.AsyncClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self._secret = client_secret
        self._http = http
        self._metadata: _Kept[Metadata] = _Kept(self._read_metadata, clock)
        self._keys: _Kept[KeySet] = _Kept(self._read_keys, clock)

    async def metadata(self) -> Metadata:
        """Return the metadata. Raises ProviderDown, and NotAccepted if they are of another issuer or not complete."""
        return await self._metadata.get()

    async def keys(self, *, fresh: bool = False) -> KeySet:
        """Return the public keys. With `fresh`, read them again, but not within `PAUSE_S` of the last time.

        Raises ProviderDown, NotAccepted.
        """
        return await self._keys.get(fresh=fresh)

    async def exchange(self, **form: str) -> dict[str, Any]:
        """Send a form to the token endpoint, and return its answer.

        Raises ProviderDown, and GrantEnded if the code or the refresh token is not valid.
        """
        metadata, headers = await self.metadata(), {"Accept": "application/json"}
        if self._secret is None or metadata.secret_in_body:
            form |= {"client_id": self.client_id} | ({"client_secret": self._secret} if self._secret else {})
            auth = None
        else:  # RFC 6749, 2.3.1: both are encoded before they are joined
            auth = httpx2.BasicAuth(quote_plus(self.client_id), quote_plus(self._secret))
        answer = await self._send("POST", metadata.token_endpoint, data=form, auth=auth, headers=headers)
        if answer.status_code == 200:
            return _object(answer, metadata.token_endpoint)
        said = _error_of(answer)
        if said == "invalid_grant":
            raise GrantEnded("code", said)
        raise NotAccepted("token-endpoint", f"{answer.status_code} {said}")

    async def userinfo(self, access_token: str, subject: str) -> dict[str, Any]:
        """Return what the provider says about the person of an access token; empty if it says nothing.

        Raises ProviderDown, GrantEnded if the token is not valid any more, and NotAccepted for another person.
        """
        where = (await self.metadata()).userinfo_endpoint
        if where is None:
            return {}
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        answer = await self._send("GET", where, headers=headers)
        if answer.status_code == 401:
            raise GrantEnded("userinfo", "401")
        if answer.status_code != 200 or "jwt" in answer.headers.get("content-type", ""):
            _log.warning("%s answered %s, which is not read", where, answer.status_code)
            return {}
        found = _object(answer, where)
        if found.get("sub") != subject:
            raise NotAccepted("userinfo", "it is about another person")
        return found

    async def _read_metadata(self) -> Metadata:
        where = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = await self._get(where)
        if found.get("issuer") != self.issuer:
            raise NotAccepted("metadata", f"{where} is of the issuer {str(found.get('issuer'))[:200]}")
        for name in (*_ENDPOINTS, *_OPTIONAL):
            if (name in _ENDPOINTS or found.get(name) is not None) and not self._is_endpoint(found.get(name)):
                raise NotAccepted("metadata", f"{name} of {where} is missing, or is no https address")
        methods = _texts(found.get("token_endpoint_auth_methods_supported")) or {"client_secret_basic"}
        return Metadata(
            authorization_endpoint=found["authorization_endpoint"],
            token_endpoint=found["token_endpoint"],
            jwks_uri=found["jwks_uri"],
            userinfo_endpoint=found.get("userinfo_endpoint"),
            end_session_endpoint=found.get("end_session_endpoint"),
            scopes=_texts(found.get("scopes_supported")),
            secret_in_body="client_secret_basic" not in methods and "client_secret_post" in methods,
            names_itself=found.get("authorization_response_iss_parameter_supported") is True,
        )

    def _is_endpoint(self, address: object) -> bool:
        """Return True if the address may be used: https, or http if the issuer has http, too."""
        if not isinstance(address, str) or not address.isprintable() or " " in address:
            return False
        try:
            parts = urlsplit(address)
        except ValueError:
            return False
        schemes = {"https", urlsplit(self.issuer).scheme}
        return parts.scheme in schemes and bool(parts.hostname) and parts.username is None

    async def _read_keys(self) -> KeySet:
        where = (await self.metadata()).jwks_uri
        listed = (await self._get(where)).get("keys")
        keys = [key for each in (listed if isinstance(listed, list) else []) if (key := _key_of(each)) is not None]
        if not keys:
            raise NotAccepted("keys", f"{where} has no key that signs")
        return KeySet(keys)

    async def _get(self, where: str) -> dict[str, Any]:
        answer = await self._send("GET", where, headers={"Accept": "application/json"})
        if answer.status_code != 200:
            raise ProviderDown(f"{where} answered {answer.status_code}")
        return _object(answer, where)

    async def _send(self, method: str, where: str, **options: Any) -> httpx2.Response:
        """Send a request. Raises ProviderDown without an answer, and for answers that say so, such as 503 and 429."""
        try:
            answer = await self._http.request(method, where, **options)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ProviderDown(f"{where}: {type(error).__name__} {error}") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise ProviderDown(f"{where} answered {answer.status_code}")
        return answer


class _Kept(Generic[ValueT]):
    """A value that is read again after an hour. If that fails, the old value stays in use."""

    def __init__(self, read: Callable[[], Awaitable[ValueT]], clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._value: ValueT | None = None
        self._failure: ProviderDown | NotAccepted | None = None
        self._read_at = self._tried_at = -KEPT_S
        self._lock = asyncio.Lock()

    async def get(self, *, fresh: bool = False) -> ValueT:
        async with self._lock:
            now = self._clock()
            due = fresh or now - self._read_at >= KEPT_S
            pause = PAUSE_S if self._value is not None else FAILED_FOR_S
            if due and now - self._tried_at >= pause:
                self._tried_at, self._failure = now, None
                try:
                    self._value, self._read_at = await self._read(), now
                except (ProviderDown, NotAccepted) as error:
                    self._failure = error
            if self._value is None:
                assert self._failure is not None
                raise self._failure.with_traceback(None)
            return self._value


def _key_of(found: object) -> Any:
    """Return a public key that can check signatures; None for any other entry of a key set."""
    if not isinstance(found, Mapping) or found.get("use", "sig") != "sig":
        return None
    if found.get("kty") not in ("RSA", "EC", "OKP"):  # never a symmetric key: `HS256` must not be possible
        return None
    try:
        key = JWKRegistry.import_key({name: value for name, value in found.items() if isinstance(name, str)})
        if isinstance(key, RSAKey) and key.public_key.key_size < LEAST_RSA_BITS:
            return None
    except (JoseError, ValueError, TypeError, KeyError, UserWarning):
        return None  # a kind of key that is not known here does not spoil the others (RFC 7517, 5)
    return key


def _texts(found: object) -> frozenset[str]:
    """Return the texts in a list of the metadata."""
    return frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list) else frozenset()


def _object(answer: httpx2.Response, where: str) -> dict[str, Any]:
    try:
        found = answer.json()
    except (ValueError, RecursionError) as error:
        raise ProviderDown(f"{where} did not answer with JSON") from error
    if not isinstance(found, dict):
        raise ProviderDown(f"{where} did not answer with a JSON object")
    return found


def _error_of(answer: httpx2.Response) -> str:
    """Return the error code in an answer of the token endpoint (RFC 6749, 5.2)."""
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        return ""
    code = found.get("error") if isinstance(found, dict) else None
    return code[:60] if isinstance(code, str) and code.isprintable() else ""
