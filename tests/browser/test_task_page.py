"""The page of a task in a browser: deciding with and without scripts, a no without a reason, changes made and seen."""

from playwright.async_api import Page, expect

from tests.browser.conftest import Windows, statuses, until, violations
from tests.support.installed_app import Product


def waiting(product: Product, reference: str, payee: str) -> str:
    """A payment that waits for its approval; answers the path of its task."""
    with product.client("requester-1") as client:
        input = {"payee": payee, "amount": "1250.00", "currency": "GBP", "account": "operating", "memo": "Paper"}
        asked = {"process": "payment", "reference": reference, "input": input}
        assert client.post("/cases", json=asked).status_code == 201
    return task_of(product, reference)


def task_of(product: Product, reference: str) -> str:
    """The path of the task at which the case waits, as soon as it does."""
    found: list[str] = []

    def there() -> bool:
        with product.client("auditor-1") as client:
            items = client.get("/tasks", params={"q": reference, "status": "open"}).json()["items"]
        found[:] = [f"/tasks/{each['task_id']}" for each in items]
        return bool(found)

    until(there)
    return found[0]


async def test_a_link_opens_the_task_and_only_the_button_decides(windows: Windows) -> None:
    path = waiting(windows.product, "LINK-1", "Linked <img src=x onerror=alert(1)> Ltd")
    await windows.of("manager-1", f"{path}?verdict=approve")  # as a scanner of mails would
    assert statuses(windows.product, ["LINK-1"]) == ["awaiting_approval"]
    page = await windows.of("manager-1", path)
    await expect(page.get_by_role("heading", level=1)).to_contain_text("onerror")
    await page.get_by_label("Comment").fill("Looks right")
    await page.get_by_role("button", name="Approve").press("Enter")
    await expect(page.get_by_text("Decision: Approved.")).to_be_visible()
    until(lambda: statuses(windows.product, ["LINK-1"]) == ["completed"])
    await page.get_by_role("link", name="Full request").click()
    await expect(page.locator(".state").first).to_have_text("Completed")


async def rejects(page: Page) -> None:
    """A no, first without its reason."""
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_text("Enter a comment. The requester sees your comment")).to_be_visible()
    await page.get_by_label("Comment").fill("Not ours")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_text("Decision: Rejected.")).to_be_visible()


async def test_a_task_is_rejected_with_and_without_scripts_and_a_reason_is_asked_for_first(windows: Windows) -> None:
    for reference, scripts in (("NO-1", True), ("NO-2", False)):
        path = waiting(windows.product, reference, f"Payee of {reference}")
        page = await windows.of("manager-1", path, java_script_enabled=scripts)
        if scripts:
            assert await violations(page) == []
        await rejects(page)
        until(lambda: statuses(windows.product, ["NO-1"]) == ["rejected"])
    case = await windows.of("requester-1", "/cases/payment%3Ano-1")
    await expect(case.get_by_role("heading", name="Rolled back, newest step first")).to_be_visible()
    await expect(case.locator(".stops li").first).to_have_text("Hold 1,250.00 GBP on operating: rolled back")
    assert await violations(case) == []


async def test_changes_are_asked_for_made_and_seen_as_a_difference(windows: Windows) -> None:
    path = waiting(windows.product, "CHANGE-1", "Changed Ltd")
    page = await windows.of("manager-1", path)
    await page.get_by_label("Comment").fill("Whose order is it?")
    await page.get_by_role("button", name="Request changes").click()
    await expect(page.get_by_text("Decision: Changes requested.")).to_be_visible()

    own = await windows.of("requester-1", task_of(windows.product, "CHANGE-1"))
    await own.get_by_role("textbox", name="Amount").fill("12,50")
    await own.get_by_label("Memo").fill("Order 4711\nof May")
    await own.get_by_role("button", name="Submit again").click()
    await expect(own.get_by_text("write the amount as a plain number")).to_be_visible()
    assert await own.get_by_role("textbox", name="Amount").input_value() == "12,50"
    assert await own.get_by_label("Memo").input_value() == "Order 4711\nof May"
    assert await violations(own) == []
    await own.get_by_role("textbox", name="Amount").fill("1300.00")
    await own.get_by_role("button", name="Submit again").click()
    await expect(own.get_by_text("Decision:")).to_be_visible()

    await page.goto(windows.home + task_of(windows.product, "CHANGE-1"))
    changed = page.locator("section", has=page.get_by_role("heading", name="Changes since the previous round"))
    await expect(changed.locator("dt")).to_have_text(["Amount", "Memo"])
    await expect(changed.locator("ins").last).to_contain_text("Order 4711")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("Decision: Approved.")).to_be_visible()


async def test_beside_the_inbox_a_task_is_decided_in_its_place(windows: Windows) -> None:
    waiting(windows.product, "PANEL-1", "Panel Ltd")
    page = await windows.of("manager-1", "/?q=PANEL-1", viewport={"width": 1680, "height": 900})
    await page.get_by_role("link", name="Pay Panel Ltd").focus()
    panel = page.locator("#panel")
    await panel.get_by_role("button", name="Reject").click()
    await expect(panel.get_by_text("Enter a comment. The requester sees your comment")).to_be_visible()
    await expect(panel.get_by_text("Other decisions")).to_be_visible()
    await panel.get_by_label("Comment").fill("Not ours")
    await panel.get_by_role("button", name="Reject").click()
    until(lambda: statuses(windows.product, ["PANEL-1"]) == ["rejected"])
    await expect(page.locator("table.tasks tbody tr:not(.gone)")).to_have_count(0)
    assert "/?q=PANEL-1" in page.url
