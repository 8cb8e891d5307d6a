"""What holds for every page: nothing serious for axe, nothing cut off on a phone or at 200 %, in the dark and in forced
colours; no error of a script or of the policy and no request to elsewhere, which each window checks by itself."""

from urllib.parse import quote

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Windows, pay, until, violations
from tests.support.installed_app import Product

PAGES = {
    "manager-1": ["/", "{task}", "{case}", "/cases", "/dashboard", "/settings", "/password", "/link"],
    "requester-1": ["/requests", "/new", "/new/payment", "/upload", "/batches", "/mappings"],
    "operator-1": ["/incidents", "/audit", "/ledger"],
    "admin-1": ["/people", "/people/manager-1", "/groups", "/policy", "/policy/text"],
    "auditor-1": ["/policy/explain?process=payment", "/audit/check", "/audit/pack"],
}
ALIKE = {"manager-1": ["/?whose=all&by=step"], "requester-1": ["/new/approval"], "auditor-1": ["{case}"]}
"""Pages with the parts of a page above. The soak looks at them, too."""
WIDTHS = (375, 640)
"""A phone, and 1280 px at 200 %."""


@pytest.fixture(scope="package")
def places(product: Product, known: list[str]) -> dict[str, str]:
    """A task and a case that has been rejected, so that much of their pages is filled."""
    pay(product, ["EVERY-0", "EVERY-1"], ["Every Page Ltd", known[0]])
    with product.client("manager-2") as client:
        items = client.get("/tasks", params={"q": "every-", "mine": True}).json()["items"]
        by_case = {each["case_id"]: each for each in items}
        task = by_case["payment:every-1"]
        said = {"verdict": "reject", "revision": task["revision"], "comment": "We have no contract with them"}
        assert client.post(f"/tasks/{task['task_id']}/decision", json=said).status_code == 200
        until(lambda: client.get("/cases/payment%3Aevery-1").json()["status"] == "rejected")
    return {"task": f"/tasks/{by_case['payment:every-0']['task_id']}", "case": f"/cases/{quote('payment:every-1', '')}"}


async def cut_off(page: Page) -> list[str]:
    """What stands out of the page to the right, if one has to scroll for it."""
    return await page.evaluate(  # type: ignore[no-any-return]
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
        [...document.querySelectorAll("main *, header *")]
        .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
        .slice(0, 5).map((each) => each.outerHTML.slice(0, 120))"""
    )


async def twice(page: Page) -> list[str]:
    """Ids that several elements have: a label or a script finds one of them only."""
    return await page.evaluate(  # type: ignore[no-any-return]
        """() => { const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
        return ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `the id ${id} is there twice`); }"""
    )


async def small_targets(page: Page) -> list[str]:
    """Controls below 24 px, but for links within a text (WCAG 2.2, 2.5.8)."""
    return await page.evaluate(  # type: ignore[no-any-return]
        """() => [...document.querySelectorAll("button, select, input:not([type=hidden]), summary, nav a, .button")]
        .filter((each) => each.checkVisibility() && !each.classList.contains("hidden"))
        .map((each) => [each, each.getBoundingClientRect()])
        .filter(([each, box]) => box.width > 0 && (box.height < 23.5 || box.width < 23.5))
        .filter(([each]) => !each.closest("label"))
        .map(([each]) => each.outerHTML.slice(0, 120))"""
    )


@pytest.mark.parametrize("every", [pytest.param(False, id="one"), pytest.param(True, id="all", marks=pytest.mark.soak)])
@pytest.mark.parametrize("person", PAGES)
async def test_every_page_is_accessible_and_whole(
    windows: Windows, places: dict[str, str], person: str, every: bool
) -> None:
    """In every run each page is looked at in full once, and then at one of the widths or in the dark."""
    # Colours that are on their way from light to dark are no finding.
    page = await windows.of(person, "/", viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    wrong: dict[str, list[str]] = {}
    for at, path in enumerate(PAGES[person] + (ALIKE.get(person, []) if every else [])):
        address = path.format(**places)
        await page.set_viewport_size({"width": 1280, "height": 800})
        # Without motion: colours on their way from light to dark have no contrast that one could measure.
        await page.emulate_media(color_scheme="light", reduced_motion="reduce")
        answer = await page.goto(windows.home + address, wait_until="load")
        assert answer is not None and answer.status == 200, address
        assert len(await answer.body()) <= 250 * 1024, f"{address} is more than 250 KB"
        found = await violations(page) + await small_targets(page) + await twice(page)
        assert await page.locator("h1").count() == 1, address
        if every or at % 3 == 2:
            await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
            found += await violations(page, "color-contrast")
        for width in WIDTHS if every else WIDTHS[at % 3 :][:1]:
            await page.set_viewport_size({"width": width, "height": 800})
            found += [f"cut off at {width} px: {each}" for each in await cut_off(page)]
        if found:
            wrong[address] = found
    assert wrong == {}, "\n".join(each for found in wrong.values() for each in found)


async def test_in_forced_colours_the_current_task_and_the_buttons_are_seen(windows: Windows, product: Product) -> None:
    page = await windows.of("manager-1", "/", forced_colors="active")
    button = page.locator("#bar button.approve")
    assert await button.evaluate("(each) => getComputedStyle(each).borderStyle") == "solid"


async def test_the_end_of_a_session_is_said_and_what_was_typed_is_kept(
    windows: Windows, places: dict[str, str]
) -> None:
    page = await windows.of("manager-1", "/notices")
    await page.clock.install()
    await page.goto(windows.home + places["task"], wait_until="load")
    await page.get_by_label("Comment", exact=False).first.fill("Half a thought")
    await expect(page.locator("#ending")).to_be_hidden()
    await page.clock.fast_forward("11:56:00")
    await expect(page.locator("#ending")).to_contain_text("less than five minutes")
    await page.get_by_role("button", name="Stay signed in").click()
    await page.clock.fast_forward("00:10")
    await page.context.clear_cookies(name="holdgate")
    await page.goto(windows.home + places["task"], wait_until="load")
    await expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
    await page.get_by_role("button", name="manager-1").click()
    await expect(page.get_by_label("Comment", exact=False).first).to_have_value("Half a thought")
