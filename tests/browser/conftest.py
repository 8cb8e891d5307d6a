"""One running product and one browser for all stories; each person has a window of their own."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.product import Product

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
AXE = Path(__file__).parent / "vendor" / "axe.js"


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not here: apt-get install chromium")
    with Product(tmp_path_factory.mktemp("seen")) as product:
        yield product


@pytest_asyncio.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not here: apt-get install chromium")
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


async def violations(page: Page) -> list[str]:
    """What axe finds on the page that is serious or critical, one line each."""
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['help']} at {node['target']}: {node['html'][:150]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
