"""Signing in in a browser: by one click, by token; the session's end is said in time, and what was typed is kept."""

from playwright.async_api import expect

from tests.browser.conftest import Windows, violations


async def test_a_newcomer_signs_in_as_a_demo_person_by_one_click_and_switches(windows: Windows) -> None:
    page = await windows.of(None, windows.demo_link)
    assert page.url == f"{windows.home}/sign-in"
    assert await violations(page) == []
    await page.get_by_role("button", name="manager-1").click()
    await expect(page.get_by_text("You are manager-1.")).to_be_visible()
    await page.get_by_text("Switch person").click()
    await page.get_by_role("button", name="auditor-1").click()
    await expect(page.get_by_text("You are auditor-1.")).to_be_visible()
    assert await violations(page) == []


async def test_a_token_opens_the_pages_and_signing_out_closes_them(windows: Windows) -> None:
    page = await windows.of(None, "/notices")
    await page.get_by_text("Sign in with an access token").click()
    await page.get_by_label("Your token").fill(windows.product.token("manager-2"))
    await page.get_by_role("button", name="Sign in with token").click()
    assert page.url.endswith("/settings#notices")
    await page.get_by_label("Signed in as Manager 2").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
