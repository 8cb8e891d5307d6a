"""One running product and one browser for all stories; each person has a window of their own."""

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.support.chromium import CHROMIUM, MISSING
from tests.support.installed_app import ROOT, Product

AXE = Path(__file__).parent / "vendor" / "axe.js"


SIGNED = """\
confirm = "case.reference.startsWith('SIGN-') ? 'passkey' : case.reference.startsWith('PASS-') ? 'password' : 'none'"
"""
"""Decisions on some payments need a passkey or a password."""


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("seen")
    section = "[payment.gates.manager-approval]\n"
    text = (ROOT / "config" / "policy.toml").read_text().replace(section, section + SIGNED)
    (folder / "policy.toml").write_text(text)
    with Product(folder, HOLDGATE_POLICY=str(folder / "policy.toml")) as product:
        yield product


AMOUNTS = itertools.count(600)
"""None comes twice: that would be something to look at."""


def pay(product: Product, references: Sequence[str], payees: Sequence[str]) -> str:
    """Ask for payments, wait until each is at its approval step, and answer their sum."""
    amounts = []
    with product.client("requester-1") as client:
        for reference, payee in zip(references, payees, strict=True):
            amounts.append(next(AMOUNTS))
            input = {"payee": payee, "amount": f"{amounts[-1]}.00", "currency": "GBP", "account": "operating"}
            asked = {"process": "payment", "reference": reference, "input": input}
            assert client.post("/cases", json=asked).status_code == 201
    until(lambda: statuses(product, references).count("awaiting_approval") == len(references))
    return f"{sum(amounts):,}.00 GBP"


def statuses(product: Product, references: Sequence[str]) -> list[str]:
    """The states of the cases with these references."""
    prefix = references[0].rstrip("0123456789")
    with product.client("auditor-1") as client:
        found = client.get("/cases", params={"q": prefix, "limit": 200}).json()["items"]
    return [case["status"] for case in found if case["reference"] in references]


def until(holds: Callable[[], bool]) -> None:
    """Wait for something in the product; fails after a minute."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="package")
def known(product: Product) -> list[str]:
    """Payees who were paid once, which needed no approval: a payment to them has nothing to look at."""
    payees = [f"Known {letter} Ltd" for letter in "ABCDEFGHIJ"]
    with product.client("requester-1") as client:
        for n, payee in enumerate(payees):
            input = {"payee": payee, "amount": "200.00", "currency": "GBP", "account": "operating"}
            asked = {"process": "payment", "reference": f"KNOWN-{n}", "input": input}
            assert client.post("/cases", json=asked).status_code == 201
    until(lambda: statuses(product, [f"KNOWN-{n}" for n in range(10)]).count("completed") == 10)
    return payees


@pytest_asyncio.fixture(scope="package")
async def chromium() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        await browser.close()


@dataclass
class Windows:
    """Opens windows of people on the running product."""

    product: Product
    browser: Browser
    _stack: AsyncExitStack

    @property
    def home(self) -> str:
        url: str = self.product.up["gateway_url"]
        return url

    @property
    def demo_link(self) -> str:
        """The link that `make up` shows, as a path."""
        link: str = self.product.up["demo_sign_in_url"]
        return link.removeprefix(self.home)

    async def of(self, person: str | None, path: str = "/", **options: Any) -> Page:
        """A window in which the person has signed in by one click; `options` are Playwright's of a context.

        The test fails when the window meets an error of scripts or of the content policy, asks any other site, or an
        alert opens.
        """
        return await self._stack.enter_async_context(self._window(person, path, options))

    @asynccontextmanager
    async def _window(self, person: str | None, path: str, options: dict[str, Any]) -> AsyncIterator[Page]:
        context = await self.browser.new_context(**{"locale": "en-GB", "timezone_id": "Europe/London", **options})
        context.set_default_timeout(15_000)
        page = await context.new_page()
        wrong: list[str] = []
        here = urlsplit(self.home).netloc
        page.on("console", lambda message: wrong.append(message.text) if _is_wrong(message) else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on(
            "request", lambda asked: wrong.append(asked.url) if urlsplit(asked.url).netloc not in ("", here) else None
        )
        if person is not None:
            await context.request.get(self.product.up["demo_sign_in_url"])
            form = {"demo": person, "following": "/", "zone": options.get("timezone_id", "Europe/London")}
            answer = await context.request.post(f"{self.home}/sign-in", form=form, max_redirects=0)
            assert answer.status == 303, await answer.text()
        await page.goto(self.home + path, wait_until="domcontentloaded")
        try:
            yield page
        finally:
            await context.close()
        assert wrong == []


def _is_wrong(message: Any) -> bool:
    """An error of a script or of the policy. A form that was refused, as a test may want it, is none."""
    return message.type == "error" and "the server responded with a status of" not in message.text


@pytest_asyncio.fixture
async def windows(product: Product, chromium: Browser) -> AsyncIterator[Windows]:
    async with AsyncExitStack() as stack:
        yield Windows(product, chromium, stack)


async def violations(page: Page, *only: str) -> list[str]:
    """What axe finds on the page that is serious or critical, one line each; by all its rules or by some."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text())
    options: dict[str, Any] = {"resultTypes": ["violations"], **({"runOnly": list(only)} if only else {})}
    found = await page.evaluate("(options) => axe.run(document, options)", options)
    return [
        f"{each['id']}: {each['help']} at {node['target']}: {node['html'][:150]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
