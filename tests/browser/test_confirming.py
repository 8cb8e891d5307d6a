"""A decision is confirmed with a passkey in a browser, and a signature for anything else is refused."""

from typing import Any

from playwright.async_api import Page, expect

from tests.browser.conftest import Windows, pay, violations
from tests.browser.test_passkeys import Device
from tests.support.installed_app import Product

OTHER = "Your passkey confirmed another decision."
CHANGES = {
    "form.querySelector('[value=approve]').value = 'reject'; form.comment.value = 'no'": OTHER,
    "form.comment.value = 'pay twice'": OTHER,
    "form.revision.value = '7'": OTHER,
    "form.action = form.action.replace(/tasks\\/[^/]+/, 'tasks/' + other)": "is for a decision on another task",
}
"""What a script does to the form after the passkey has signed, and how the server answers."""
AFTER_SIGNING = """(other) => {
  const get = navigator.credentials.get.bind(navigator.credentials);
  navigator.credentials.get = async (options) => {
    const made = await get(options), form = document.querySelector("form.decide");
    CHANGE;
    return made;
  };
}"""


async def with_passkey(windows: Windows, person: str) -> tuple[Page, Device]:
    """A window of a person who has added a passkey on its device."""
    page = await windows.of(person, "/settings")
    device = await Device.of(page)
    section = page.locator("#passkeys")
    await section.get_by_label("Name, such as the name of the device").fill("Laptop")
    await section.get_by_role("button", name="Add passkey").click()
    await expect(section.get_by_text("Your passkey is added.")).to_be_visible()
    return page, device


def tasks_of(product: Product, references: list[str]) -> list[dict[str, Any]]:
    """The tasks of these payments, with their decisions."""
    found = []
    with product.client("auditor-1") as client:
        for reference in references:
            [task] = client.get(f"/cases/payment%3A{reference.lower()}").json()["tasks"]
            found.append(task)
    return found


async def test_a_passkey_confirms_exactly_the_decision_on_the_page(
    windows: Windows, product: Product, known: list[str]
) -> None:
    references = ["SIGN-1", "SIGN-2"]
    pay(product, references, known[:2])
    first, second = tasks_of(product, references)
    page, device = await with_passkey(windows, "manager-2")
    address = f"{windows.home}/tasks/{first['task_id']}"
    for change, said in CHANGES.items():
        await page.goto(address)
        await page.evaluate(AFTER_SIGNING.replace("CHANGE", change), second["task_id"])
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_role("alert").filter(has_text=said)).to_be_visible()
    assert [task["decisions"] for task in tasks_of(product, references)] == [[], []]
    await page.goto(address)
    await device.verifies(False)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("The decision was not confirmed, so it was not sent.")).to_be_visible()
    await device.verifies(True)
    await page.get_by_label("Comment", exact=True).fill("As ordered")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("Signed by Manager 2 with a passkey").first).to_be_visible()
    assert await violations(page) == []
    await page.goto(windows.home)  # the same beside the list, where htmx sends the form
    row = page.locator(f"[id='{second['task_id']}']")
    await row.get_by_role("link").click()
    await page.locator("#panel").get_by_role("button", name="Approve").click()
    await expect(row).to_have_count(0)
    signed = [(task["decisions"][0]["confirmed"], task["outcome"]) for task in tasks_of(product, references)]
    assert signed == [("passkey", "approved"), ("passkey", "approved")]
