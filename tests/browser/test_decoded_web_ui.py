"""Temporal's Web UI and command line with encryption: who is signed in to Holdgate as an admin reads, nobody else."""

import asyncio
import base64
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from core.payload_keys import create_payload_keys
from tests.browser.conftest import pay
from tests.support.chromium import CHROMIUM, MISSING
from tests.support.installed_app import Product
from tests.support.temporal import TEMPORAL

pytestmark = pytest.mark.soak
PAYEE = "Ottoline Ltd"
CASE = "payment:secret-1"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    folder: Path = tmp_path_factory.mktemp("decoded")
    create_payload_keys(folder / "payload-keys.toml")
    with Product(folder, HOLDGATE_PAYLOAD_KEYS=str(folder / "payload-keys.toml")) as product:
        pay(product, ["SECRET-1"], [PAYEE])
        yield product


@asynccontextmanager
async def window(product: Product, chromium: Browser, person: str | None) -> AsyncIterator[Page]:
    context = await chromium.new_context(viewport={"width": 1400, "height": 1800})
    if person is not None:
        await context.request.get(product.up["demo_sign_in_url"])
        form: dict[str, str | float | bool] = {"demo": person, "following": "/", "zone": "Europe/London"}
        answer = await context.request.post(f"{product.up['gateway_url']}/sign-in", form=form, max_redirects=0)
        assert answer.status == 303
    yield await context.new_page()
    await context.close()


async def text_of(page: Page, link: str, wanted: str, within: float) -> str:
    """The text of a page of the Web UI, as soon as it has `wanted`."""
    await page.goto(link, wait_until="domcontentloaded")
    async with asyncio.timeout(60):
        while "screen_payment" not in (text := await page.inner_text("body")):
            await asyncio.sleep(0.2)
    for _ in range(int(within / 0.2)):
        if wanted in (text := await page.inner_text("body")):
            break
        await asyncio.sleep(0.2)
    return text


def uses(product: Product, person: str) -> int:
    """How often a person has decoded payloads of the case."""
    with product.client("auditor-1") as client:
        lines = client.get("/audit", params={"kind": "payloads_decoded", "actor": person}).text.splitlines()
    return sum(CASE in json.loads(line)["data"]["case_ids"] for line in lines)


async def test_the_web_ui_shows_a_case_decoded_to_an_admin_only(encrypted: Product, chromium: Browser) -> None:
    with encrypted.client("admin-1") as client:
        link = client.get(f"/cases/{CASE}").json()["temporal_url"]
    for person in (None, "requester-1"):
        async with window(encrypted, chromium, person) as page:
            text = await text_of(page, link, PAYEE, within=6)
            assert PAYEE not in text, person
    async with window(encrypted, chromium, "admin-1") as page:
        assert PAYEE in await text_of(page, link, PAYEE, within=40)
    assert uses(encrypted, "admin-1") > 0


def temporal(product: Product, *arguments: str) -> str:
    """What Temporal's command line prints, with the data of payloads in the place of their base64."""
    command = [TEMPORAL, "workflow", *arguments, "-w", CASE, "--address", product.up["temporal_address"]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    printed = done.stdout + done.stderr
    return re.sub(r'"data": "([^"]*)"', lambda found: repr(base64.b64decode(found[1])), printed)


def test_the_command_line_decodes_with_the_token_of_an_admin(encrypted: Product) -> None:
    show = ("show", "-o", "json")
    endpoint = ("--codec-endpoint", f"{encrypted.up['gateway_url']}/codec", "--codec-auth")
    assert PAYEE not in temporal(encrypted, *show)
    for person, reads in (("admin-1", True), ("operator-1", True), ("requester-1", False)):
        before = uses(encrypted, person)
        said = temporal(encrypted, *show, *endpoint, f"Bearer {encrypted.token(person)}")
        assert (PAYEE in said) is reads, (person, said)
        assert (uses(encrypted, person) > before) is reads
    assert PAYEE not in temporal(encrypted, *show, *endpoint, "Bearer hg_invented")


def test_the_command_line_sends_no_messages_through_the_codec_server(encrypted: Product) -> None:
    codec = ("--codec-endpoint", f"{encrypted.up['gateway_url']}/codec", "--codec-auth")
    as_admin = (*codec, f"Bearer {encrypted.token('admin-1')}")
    for arguments in (
        ("query", "--type", "status"),
        ("signal", "--name", "submit_decision", "--input", "{}"),
    ):
        assert "404" in (said := temporal(encrypted, *arguments, *as_admin)) or "Not Found" in said, said
