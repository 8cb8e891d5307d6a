"""An identity provider on loopback for tests: it signs whatever a test wants, and counts what it is asked."""

import asyncio
import base64
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.installed_app import free_port

CLIENT, SECRET = "holdgate", "a secret with + and / and %"
AUDIENCE = "https://holdgate.example/api"

Sign = Callable[["FakeProvider", dict[str, Any]], str]


def signed(provider: "FakeProvider", claims: dict[str, Any], **header: Any) -> str:
    """A JWT as the provider signs it."""
    return jwt.encode({"alg": "ES256", "kid": provider.key.kid, **provider.typed, **header}, claims, provider.key)


@dataclass
class FakeProvider:
    """The provider: its accounts by subject, its key, and how it behaves."""

    issuer: str
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"}))
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    down: bool = False
    sign: Sign = signed
    """How ID tokens are signed."""
    typed: dict[str, str] = field(default_factory=dict)
    """The header `typ` of tokens, if they have one."""
    in_id_token: set[str] = field(default_factory=lambda: {"groups"})
    """The claims of a person that the ID token has, too. All are in userinfo."""
    metadata: dict[str, Any] = field(default_factory=dict)
    gives_refresh_tokens: bool = True
    access_lasts: int = 3600
    asked: list[str] = field(default_factory=list)
    """The paths of all requests."""
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    """By access token and by refresh token: the subject."""

    def claims(self, subject: str, **more: Any) -> dict[str, Any]:
        """The claims of an ID token for the client."""
        now = int(time.time())
        return {"iss": self.issuer, "aud": CLIENT, "sub": subject, "iat": now, "exp": now + 300, **more}

    def authorize(self, address: str, subject: str) -> dict[str, str]:
        """What the browser brings back from the address of a sign-in, at which this person signed in."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/authorize"
        asked = dict(parse_qsl(parts.query))
        assert asked["client_id"] == CLIENT and asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
        code = secrets.token_urlsafe(8)
        self.codes[code] = {**asked, "sub": subject}
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    def forget(self) -> None:
        """End all grants, as when the account is disabled."""
        self.tokens.clear()

    async def _token(self, request: Request) -> Response:
        form = dict((await request.form()).items())
        if not self._knows_client(request):
            return JSONResponse({"error": "invalid_client"}, 401)
        if form["grant_type"] == "refresh_token":
            subject = self.tokens.pop(str(form["refresh_token"]), None)
            if subject is None:
                return JSONResponse({"error": "invalid_grant"}, 400)
            return JSONResponse(self._tokens(subject))
        code = self.codes.pop(str(form["code"]), None)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if code is None or code["redirect_uri"] != form["redirect_uri"] or code["code_challenge"] != challenge:
            return JSONResponse({"error": "invalid_grant"}, 400)
        auth_time = {"auth_time": int(time.time())} if "max_age" in code else {}
        return JSONResponse(self._tokens(code["sub"], nonce=code["nonce"], sid=f"s-{code['sub']}", **auth_time))

    def _tokens(self, subject: str, **more: Any) -> dict[str, Any]:
        own = {name: value for name, value in self.users[subject].items() if name in self.in_id_token}
        access = secrets.token_urlsafe(16)
        self.tokens[access] = subject
        made = {"access_token": access, "token_type": "Bearer", "expires_in": self.access_lasts}
        if self.gives_refresh_tokens:
            made["refresh_token"] = secrets.token_urlsafe(16)
            self.tokens[str(made["refresh_token"])] = subject
        return {**made, "id_token": self.sign(self, self.claims(subject, **own, **more))}

    def _knows_client(self, request: Request) -> bool:
        said = base64.b64decode(request.headers.get("authorization", "Basic ").removeprefix("Basic ")).decode()
        name, _, secret = said.partition(":")
        return (unquote_plus(name), unquote_plus(secret)) == (CLIENT, SECRET)

    async def _userinfo(self, request: Request) -> Response:
        subject = self.tokens.get(request.headers["authorization"].removeprefix("Bearer "))
        if subject is None:
            return JSONResponse({"error": "invalid_token"}, 401)
        return JSONResponse({"sub": subject, **self.users[subject]})

    async def _metadata(self, _request: Request) -> Response:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
            "end_session_endpoint": f"{self.issuer}/logout",
            "scopes_supported": ["openid", "profile", "email", "groups"],
        }
        return JSONResponse(found | self.metadata)

    async def _keys(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    def app(self) -> Starlette:
        """The provider as an application."""
        routes = [
            Route("/.well-known/openid-configuration", self._metadata),
            Route("/jwks", self._keys),
            Route("/token", self._token, methods=["POST"]),
            Route("/userinfo", self._userinfo),
        ]
        served = Starlette(routes=routes)

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.asked.append(scope["path"])
                if self.down:
                    return await Response("down", 503)(scope, receive, send)
            await served(scope, receive, send)

        return counted  # type: ignore[return-value]


def unsigned(provider: "FakeProvider", claims: dict[str, Any], algorithm: str = "none") -> str:
    """A token without a signature."""
    header = {"alg": algorithm, **provider.typed}
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims))
    return ".".join([*parts, ""])


@asynccontextmanager
async def provider() -> AsyncIterator[FakeProvider]:
    """A provider that listens on a port of its own while the block runs."""
    port = free_port()
    found = FakeProvider(f"http://127.0.0.1:{port}")
    server = uvicorn.Server(uvicorn.Config(found.app(), port=port, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    try:
        yield found
    finally:
        server.should_exit = True
        await serving
