"""A masked account number is shown on request, in place and without scripts, and is gone after the page is reloaded."""

import os
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Windows, violations
from tests.browser.test_task_page import task_of
from tests.support.installed_app import Product

IBAN = "GB82WEST12345698765432"
PHONE = {"width": 375, "height": 700}
DESK = {"width": 1280, "height": 800}


def waiting(product: Product, reference: str) -> str:
    with product.client("requester-1") as client:
        input = {"payee": f"Payee of {reference}", "amount": "1250.00", "currency": "GBP", "account": "operating"}
        asked = {"process": "payment", "reference": reference, "input": {**input, "payee_account": IBAN}}
        assert client.post("/cases", json=asked).status_code == 201
    return task_of(product, reference)


async def shot(page: Page, name: str) -> None:
    """Keep a picture, if somebody wants to look at the pages."""
    if folder := os.environ.get("HOLDGATE_TEST_PICTURES"):
        await page.screenshot(path=Path(folder) / f"{name}.png", full_page=False)


@pytest.mark.parametrize(("size", "scripts"), [(DESK, True), (PHONE, True), (PHONE, False)])
async def test_a_reviewer_sees_the_number_on_request_and_never_again_by_reloading(
    windows: Windows, size: dict[str, int], scripts: bool
) -> None:
    name = f"{size['width']}-{'with' if scripts else 'without'}"
    path = waiting(windows.product, f"REVEAL-{name}")
    page = await windows.of("manager-1", path, viewport=size, java_script_enabled=scripts)
    assert IBAN not in await page.content()
    button = page.get_by_text("Show payee's account")
    await shot(page, f"{name}-before")
    await button.click()
    await page.get_by_label("Reason").fill("Compare with the invoice")
    await shot(page, f"{name}-form")
    await page.get_by_role("button", name="Show", exact=True).press("Enter")
    await expect(page.get_by_text(IBAN)).to_be_visible()
    await shot(page, f"{name}-shown")
    if scripts:
        assert await violations(page) == []
        wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, "nothing is cut off at the side"
        await page.reload()
    else:
        await page.get_by_role("link", name="Back to the task").click()
    await expect(page.get_by_role("heading", name="Decision", exact=True).first).to_be_visible()
    assert IBAN not in await page.content()
    await expect(page.get_by_text("manager-1 revealed “Payee's account”: “Compare with the invoice”")).to_be_visible()
    await shot(page, f"{name}-after")


async def test_the_number_is_shown_beside_the_list_and_gone_on_the_way_back(windows: Windows) -> None:
    path = waiting(windows.product, "REVEAL-INBOX")
    page = await windows.of("manager-1", "/?q=REVEAL-INBOX", viewport={"width": 1400, "height": 900})
    panel = page.locator("article.task")
    await panel.get_by_text("Show payee's account").click()
    await panel.get_by_label("Reason").fill("x")
    await panel.get_by_label("Reason").fill("Compare with the invoice")
    await panel.get_by_role("button", name="Show", exact=True).click()
    await expect(panel.get_by_text(IBAN)).to_be_visible()
    await shot(page, "inbox")
    await page.goto(f"{windows.home}{path}")
    await page.go_back()
    assert IBAN not in await page.content()
