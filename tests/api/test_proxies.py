"""The gateway behind a real nginx, in each configuration of our docs and of common guides."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from api.__main__ import Server
from api.app import create_app
from core.settings import ROOT, Settings
from core.signing_keys import make_missing_keys
from ops.demo import people_and_money
from store.db.database import Database
from store.people import people, tokens
from tests.api.pages.visits import hidden
from tests.support.installed_app import free_port

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
PUBLIC = "https://holdgate.example.org"

LOCATIONS = {
    "bare": "proxy_pass http://127.0.0.1:{gateway};",
    "upstream by name": "proxy_pass http://holdgate;",
    "host kept": "proxy_pass http://127.0.0.1:{gateway}; proxy_set_header Host $host;",
    "everything told": """
        proxy_pass http://127.0.0.1:{gateway};
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto https;
        proxy_set_header X-Forwarded-Host $host;
        proxy_set_header Forwarded "for=$remote_addr;proto=https";""",
    "http 1.1": 'proxy_pass http://127.0.0.1:{gateway}; proxy_http_version 1.1; proxy_set_header Connection "";',
}


@dataclass
class Proxied:
    ports: dict[str, int]
    token: str

    def browser(self, way: str) -> httpx2.AsyncClient:
        """A browser at the public address; TLS, which ends at the proxy, is left out."""
        headers = {"Host": "holdgate.example.org", "Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}
        return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.ports[way]}", headers=headers)


@asynccontextmanager
async def proxied(folder: Path, template: Path, **settings: object) -> AsyncIterator[Proxied]:
    gateway = free_port()
    made = Settings(var=folder, port=gateway, **settings)  # type: ignore[arg-type]
    make_missing_keys(made)
    shutil.copy(template, folder / "holdgate.db")
    database = Database(made.database_url)
    present = await people_and_money.create_demo(database, made.demo_tokens)
    people_and_money.secret(made.demo_secret)
    if not made.demo:
        async with database.write() as conn:
            await people.add(conn, "anna", "Anna", ["admins"], by="test")
            token = await tokens.make(conn, "anna", "test", by="test")
    else:
        token = present[-1].token
    await database.close()
    server = Server(create_app(made), port=gateway, log_config=None, server_header=False, proxy_headers=False)
    serving = asyncio.create_task(server.serve())
    ports = {way: free_port() for way in LOCATIONS}
    process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [NGINX, "-p", str(folder), "-c", str(_configured(folder, ports, gateway))]
    )
    try:
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.01)
        await _answers(next(iter(ports.values())))
        yield Proxied(ports, token)
    finally:
        process.terminate()
        process.wait(30)
        server.should_exit = True
        await serving


def _configured(folder: Path, ports: dict[str, int], gateway: int) -> Path:
    servers = "\n".join(
        f"server {{ listen 127.0.0.1:{ports[way]}; location / {{ {location.replace('{gateway}', str(gateway))} }} }}"
        for way, location in LOCATIONS.items()
    )
    temporary = "\n".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(f"""
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{}}
http {{
access_log off;
{temporary}
upstream holdgate {{ server 127.0.0.1:{gateway}; }}
{servers}
}}""")
    return file


async def _answers(port: int) -> None:
    async with asyncio.timeout(60), httpx2.AsyncClient() as client:
        while True:
            try:
                await client.get(f"http://127.0.0.1:{port}/health/live")
                return
            except httpx2.TransportError:
                await asyncio.sleep(0.05)


pytestmark = pytest.mark.skipif(not Path(NGINX).exists(), reason="nginx is not here: apt-get install nginx-light")


@pytest_asyncio.fixture(scope="module")
async def deployed(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> AsyncIterator[Proxied]:
    """As the docs say: the demo is off, and the public address is set."""
    folder = tmp_path_factory.mktemp("deployed")
    async with proxied(folder, sqlite_template, public_url=PUBLIC, demo=False) as proxies:
        yield proxies


@pytest.mark.parametrize("way", LOCATIONS)
async def test_every_form_works_behind_the_proxy_and_none_of_another_site(deployed: Proxied, way: str) -> None:
    async with deployed.browser(way) as browser:
        signed_in = await browser.post("/sign-in", data={"token": deployed.token, "following": "/settings"})
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/settings"), signed_in.text
        cookie = signed_in.headers["set-cookie"]
        assert cookie.startswith("__Host-holdgate=") and "; Secure" in cookie
        # The client leaves a Secure cookie out of what it sends without TLS, which a browser here has.
        browser.headers["Cookie"] = cookie.partition(";")[0]
        page = await browser.get("/settings")
        assert 'data-person="anna"' in page.text
        for origin in ("https://evil.example", "null", "http://[", "http://127.0.0.1:8000", f"{PUBLIC}.evil.example"):
            refused = await browser.post("/sign-out", data=hidden(page.text), headers={"Origin": origin})
            assert refused.status_code == 403 and PUBLIC in refused.text
        assert (await browser.post("/sign-out", data=hidden(page.text))).status_code == 303


@pytest.mark.parametrize("way", LOCATIONS)
async def test_the_demo_people_of_a_run_before_are_nobody_there(deployed: Proxied, way: str) -> None:
    async with deployed.browser(way) as browser:
        refused = await browser.post("/sign-in", data={"demo": "admin-1"})
        assert refused.status_code == 401 and "set-cookie" not in refused.headers


async def test_behind_a_proxy_with_the_demo_at_its_default_nobody_signs_in_by_one_post(
    tmp_path: Path, sqlite_template: Path
) -> None:
    async with proxied(tmp_path, sqlite_template) as proxies:
        for way, port in proxies.ports.items():
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                for headers in (
                    {},
                    {"Host": "holdgate.example.org"},
                    {"Host": "holdgate.example.org", "Origin": PUBLIC},
                ):
                    answer = await client.post("/sign-in", data={"demo": "admin-1"}, headers=headers)
                    assert answer.status_code in (401, 403, 421) and "set-cookie" not in answer.headers, way
                    assert 'value="admin-1"' not in (await client.get("/", headers=headers)).text


def test_the_snippets_of_the_docs_are_what_nginx_takes(tmp_path: Path) -> None:
    docs = (ROOT / "docs" / "operate" / "proxies.md").read_text()
    snippet = docs.split("```nginx\n")[1].split("```")[0]
    snippet = snippet.replace("listen 443 ssl;", f"listen 127.0.0.1:{free_port()};")
    kept = [line for line in snippet.splitlines() if "ssl_certificate" not in line]
    file = tmp_path / "nginx.conf"
    file.write_text(f"pid {tmp_path}/pid; events {{}} http {{ access_log off;\n" + "\n".join(kept) + "\n}")
    asked = [NGINX, "-t", "-q", "-p", str(tmp_path), "-c", str(file), "-g", f"error_log {tmp_path}/log;"]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
