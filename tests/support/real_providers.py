"""Identity providers of other projects, as processes, for the tests of `make conformance`."""

import asyncio
import html
import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import httpx2
from joserfc.jwk import RSAKey

from tests.support.installed_app import ROOT, free_port

SCRIPT = ROOT / "tests" / "support" / "node_provider" / "provider.mjs"
PACKAGES = ROOT / "var" / "conformance"
"""Where `make conformance` installs the packages of npm."""
SECRET = "a-secret-of-at-least-thirty-two-characters"


def key(kid: str) -> RSAKey:
    """A private key with which a provider signs."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


def started(command: list[str], folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """A process that writes its log into the folder."""
    with (folder / "provider.log").open("ab") as log:
        return subprocess.Popen(command, env={**os.environ, **environment}, stderr=log, stdout=log)


class NodeProvider:
    """`oidc-provider` as a process. Its keys and accounts lie in files."""

    def __init__(self, folder: Path, home: str) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.folder, self.home = folder, home
        self.keys = [key("k1")]
        self.accounts: dict[str, dict[str, Any]] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def write(self) -> None:
        jwks = {"keys": [each.as_dict(private=True) for each in self.keys]}
        (self.folder / "jwks.json").write_text(json.dumps(jwks))
        (self.folder / "accounts.json").write_text(json.dumps(self.accounts))

    async def start(self) -> None:
        self.write()
        script = PACKAGES / "provider.mjs"  # beside its packages, where Node looks for them
        script.write_text(SCRIPT.read_text())
        chosen = {"PORT": str(self.port), "HOME": self.home, "SECRET": SECRET}
        files = {"KEYS": str(self.folder / "jwks.json"), "ACCOUNTS": str(self.folder / "accounts.json")}
        self.process = started(["node", str(script)], self.folder, **chosen, **files)
        await reached(f"{self.issuer}/.well-known/openid-configuration", self.process)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)

    async def sign_in(self, browser: httpx2.AsyncClient, address: str, subject: str) -> str:
        answer = await browser.get(address)
        for _ in range(20):
            if answer.status_code in (302, 303):
                location = urljoin(str(answer.url), answer.headers["location"])
                if location.startswith(self.home):
                    return location
                answer = await browser.get(location)
                continue
            form = re.search(r'action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="([^"]+)"', answer.text)
            assert form and prompt, answer.text
            data = {"prompt": prompt[1]} | ({"login": subject, "password": "x"} if prompt[1] == "login" else {})
            answer = await browser.post(urljoin(str(answer.url), html.unescape(form[1])), data=data)
        raise AssertionError("the provider did not send the browser back")


class MockProvider:
    """`oidc-provider-mock` as a process."""

    def __init__(self, folder: Path, home: str) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.folder, self.home = folder, home
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "oidc_provider_mock", "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = started([*command, "--require-nonce"], self.folder)
        await reached(f"{self.issuer}/.well-known/openid-configuration", self.process)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)

    async def person(self, subject: str, **claims: Any) -> None:
        async with httpx2.AsyncClient() as client:
            answer = await client.put(f"{self.issuer}/users/{quote(subject)}", json=claims)
            assert answer.is_success, answer.text

    async def sign_in(self, browser: httpx2.AsyncClient, address: str, subject: str) -> str:
        answer = await browser.post(address, data={"sub": subject})
        assert answer.status_code in (302, 303), answer.text
        location: str = answer.headers["location"]
        return location


async def reached(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    async with httpx2.AsyncClient() as client:
        while True:
            assert process.poll() is None, "the provider ended: see its log"
            assert time.monotonic() < deadline, "the provider does not answer"
            with suppress(httpx2.TransportError):
                await client.get(address)
                return
            await asyncio.sleep(0.1)
