"""The pages in a real browser: sign in, see what waits, follow a link, decide; nothing else decides."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.product import Product

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here: apt-get install chromium")


@asynccontextmanager
async def a_page(product: Product) -> AsyncIterator[Page]:
    """A page of a fresh browser. Fails when it meets an error of scripts or policies, or asks any other site."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        page = await browser.new_page()
        wrong: list[str] = []
        here = urlsplit(product.up["gateway_url"]).netloc
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on(
            "request", lambda asked: wrong.append(asked.url) if urlsplit(asked.url).netloc not in ("", here) else None
        )
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        yield page
        assert wrong == []
        await browser.close()


def start(product: Product, reference: str, **more: str) -> None:
    payment = {"payee": "Browser Ltd", "amount": "750.00", "currency": "GBP", "account": "operating", **more}
    with product.client("requester-1") as requester:
        body = {"process": "payment", "reference": reference, "input": payment}
        assert requester.post("/cases", json=body).status_code == 201


def waiting(product: Product, reference: str) -> dict[str, Any]:
    """The task of a case, as soon as it waits for managers."""
    with product.client("manager-1", timeout=20) as manager:
        while not (found := manager.get(f"/tasks?mine=true&q={reference}").json()["items"]):
            pass
    task: dict[str, Any] = found[0]
    return task


async def signs_in(page: Page, product: Product, person: str) -> None:
    await page.get_by_label("Your token").fill(product.token(person))
    await page.get_by_role("button", name="Sign in").click()


async def test_a_manager_signs_in_sees_what_waits_and_signs_out(product: Product) -> None:
    start(product, "BROWSER-1")
    waiting(product, "BROWSER-1")
    async with a_page(product) as page:
        await page.goto(product.up["gateway_url"])
        await signs_in(page, product, "manager-1")
        await expect(page.get_by_text("Pay Browser Ltd 750.00 GBP").first).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.locator("input[name=token]")).to_be_visible()
        await page.goto(f"{product.up['gateway_url']}/docs")
        await expect(page.get_by_text("/api/v1/cases", exact=True).first).to_be_visible()


async def test_a_link_opens_the_task_and_only_the_button_decides(product: Product) -> None:
    start(product, "BROWSER-2", payee="Linked <img src=x onerror=alert(1)> Ltd", memo="</dd><script>alert(2)</script>")
    task = waiting(product, "BROWSER-2")
    link = f"{product.up['gateway_url']}/tasks/{task['task_id']}"
    async with a_page(product) as scanner:  # a mail scanner with scripts on, and then one that knows who it is
        await scanner.goto(link)
        await signs_in(scanner, product, "manager-1")
        await expect(scanner.get_by_role("button", name="Approve")).to_be_visible()
        await scanner.goto(f"{link}?verdict=approve")
    assert waiting(product, "BROWSER-2")["status"] == "open"
    async with a_page(product) as page:
        await page.goto(link)
        await signs_in(page, product, "manager-1")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("onerror")
        await page.get_by_label("Comment").fill("Looks right")
        await page.get_by_role("button", name="Approve").press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("approved")
        await page.get_by_role("link", name="The whole case").click()
        await expect(page.get_by_text("completed").first).to_be_visible()
