"""The plain page in a real browser: sign in with a token, see what waits, sign out."""

import shutil

import pytest
from playwright.async_api import async_playwright, expect

from tests.product import Product

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here: apt-get install chromium")
async def test_a_manager_signs_in_sees_what_waits_and_signs_out(product: Product) -> None:
    payment = {"payee": "Browser Ltd", "amount": "750.00", "currency": "GBP", "account": "operating"}
    with product.client("requester-1") as requester:
        body = {"process": "payment", "reference": "BROWSER-1", "input": payment}
        assert requester.post("/cases", json=body).status_code == 201
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        page = await browser.new_page()
        violations: list[str] = []
        page.on("console", lambda message: violations.append(message.text) if message.type == "error" else None)
        await page.goto(product.up["gateway_url"])
        await page.locator("input[name=token]").fill(product.token("manager-1"))
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_text("Pay Browser Ltd 750.00 GBP").first).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.locator("input[name=token]")).to_be_visible()
        await page.goto(f"{product.up['gateway_url']}/docs")
        await expect(page.get_by_text("/api/v1/cases", exact=True).first).to_be_visible()
        assert violations == []
        await browser.close()
