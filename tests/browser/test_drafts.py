"""What is typed is never lost: on any form, when the session has ended, the gateway is away or somebody was faster."""

import json
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Windows, pay, until
from tests.support.installed_app import Product

PAGES = {
    "manager-1": ["{task}", "/settings"],
    "requester-1": ["{case}", "/requests", "/new/payment", "/new/approval"],
    "admin-1": ["{task}", "/people", "/people/manager-3", "/policy/explain?process=payment"],
}
FORMS = """() => [...document.querySelectorAll("main form[method=post]")]
  .map((form, at) => [at, [...form.elements].filter((each) => each.name && each.matches(
    "textarea, select, input:not([type=hidden], [type=password], [type=file], [type=checkbox])")), form])
  .filter(([, fields]) => fields.length).map(([at, fields, form]) => [at, [
    form.getAttribute("action")?.replace(/(tasks|cases|people)[/][^/]+/, "$1"), form.elements.act?.value,
    ...fields.map((each) => each.name)].join()])"""
"""The forms of a page in which something can be typed: their places, and what they are."""
FILL = """([at, mark]) => {
  const form = document.querySelectorAll("main form[method=post]")[at];
  const typed = {};
  const usual = { date: "2031-02-03", "datetime-local": "2031-02-03T10:00", email: "a@example.org" };
  for (const field of form.elements) {
    if (!field.name || !field.matches("textarea, select, input:not([type=hidden], [type=password])")) continue;
    if (field.type === "file") continue;
    if (field.type === "checkbox") field.checked = true;
    else if (field.matches("select")) field.selectedIndex = field.options.length - 1;
    else field.value = usual[field.type] ?? mark;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    if (field.type === "checkbox") typed[`${field.name}=${field.value}`] = true;
    else typed[field.name] = field.value;
  }
  return typed;
}"""
SEND = """(at) => {
  const form = document.querySelectorAll("main form[method=post]")[at];
  form.noValidate = true;
  form.requestSubmit(form.querySelector("button:not([type=button])"));
}"""
TYPED = """(at) => Object.fromEntries([...document.querySelectorAll("main form[method=post]")[at].elements]
  .filter((each) => each.name)
  .map((each) => each.type === "checkbox" ? [`${each.name}=${each.value}`, each.checked] : [each.name, each.value]))"""


def places(product: Product) -> dict[str, str]:
    """Return a task, and a case of another person that waits for an answer of its requester."""
    pay(product, ["DRAFT-0", "DRAFT-1"], ["Draft Ltd", "Question Ltd"])
    with product.client("manager-2") as client:
        items = client.get("/tasks", params={"q": "draft-", "mine": True}).json()["items"]
        by_case = {each["case_id"]: each["task_id"] for each in items}
        question = {"to": "requester-1", "text": "Whose order is it?"}
        assert client.post(f"/tasks/{by_case['payment:draft-1']}/questions", json=question).status_code < 300
    return {"task": f"/tasks/{by_case['payment:draft-0']}", "case": "/cases/payment%3Adraft-1"}


async def leaves(page: Page, send: str, at: int) -> None:
    """Send a form of the page, and wait for what comes."""
    async with page.expect_navigation(wait_until="load"):
        await page.evaluate(send, at)


async def signs_in(page: Page, person: str) -> None:
    await expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
    async with page.expect_navigation(wait_until="load"):
        await page.get_by_role("button", name=person, exact=True).click()


def holds(now: dict[str, Any], typed: dict[str, Any]) -> bool:
    return {name: now.get(name) for name in typed} == typed


@pytest.mark.parametrize(
    "every", [pytest.param(False, id="some"), pytest.param(True, id="all", marks=pytest.mark.soak)]
)
async def test_no_form_loses_what_was_typed_when_the_session_ends(
    windows: Windows, product: Product, every: bool
) -> None:
    """In every run all forms of a page are filled and one is sent. In the soak each form is filled and sent alone."""
    there, found = places(product), set[str]()
    for person, addresses in PAGES.items():
        page = await windows.of(person, "/notices")
        for address in (each.format(**there) for each in addresses):
            await page.goto(windows.home + address, wait_until="load")
            new = {at: kind for at, kind in await page.evaluate(FORMS) if kind not in found}
            found.update(new.values())
            for forms in [[at] for at in new] if every else filter(None, [[*new]]):
                typed = {at: await page.evaluate(FILL, [at, f"Kept {len(found)} {at}"]) for at in forms}
                await page.context.clear_cookies(name="holdgate")
                await leaves(page, SEND, forms[len(forms) // 2])
                await signs_in(page, person)
                assert page.url == windows.home + address, "back where it was typed"
                for at in forms:
                    assert holds(await page.evaluate(TYPED, at), typed[at]), (address, at, typed[at])
    assert len(found) >= 25, found


async def test_after_signing_in_again_a_form_goes_through_and_is_then_forgotten(
    windows: Windows, product: Product
) -> None:
    page = await windows.of("requester-2", "/new/payment")
    for label, text in {"Reference": "AGAIN-1", "Payee": "Again Ltd", "Amount": "700.00", "Currency": "GBP"}.items():
        await page.get_by_label(label, exact=True).fill(text)
    await page.get_by_label("From account", exact=True).fill("operating")
    await page.context.clear_cookies(name="holdgate")
    await page.get_by_role("button", name="Submit request", exact=True).click()
    await signs_in(page, "requester-2")
    # The gateway dies: the browser shows a page of its own, and going back is no success of the form.
    product.kill("gateway")
    await page.get_by_role("button", name="Submit request", exact=True).click(no_wait_after=True)
    until(lambda: answers(product))
    await page.goto(f"{windows.home}/new/payment", wait_until="load")
    if not await page.get_by_label("Payee", exact=True).input_value():  # it was sent before the gateway died
        await page.goto(f"{windows.home}/cases/payment%3Aagain-1")
    else:
        await page.get_by_role("button", name="Submit request", exact=True).click()
    await expect(page.get_by_role("heading", name="Pay Again Ltd 700.00 GBP")).to_be_visible()
    await page.goto(f"{windows.home}/new/payment", wait_until="load")
    await expect(page.get_by_label("Payee", exact=True)).to_have_value("")
    assert "Again Ltd" not in await page.evaluate("sessionStorage.getItem('drafts')")


def answers(product: Product) -> bool:
    try:
        with product.client("requester-2") as client:
            return client.get("/me").status_code == 200
    except Exception:
        return False


async def test_secrets_are_never_kept_and_another_person_finds_nothing(windows: Windows, product: Product) -> None:
    there = places_of(product, "OTHER-0")
    page = await windows.of("manager-1", "/link")
    await page.locator("main summary").first.click()
    for field in await page.locator("main input[type=password]").all():
        await field.fill("correct horse battery")
    await page.goto(windows.home + there, wait_until="load")
    await page.locator("#task-comment").fill("Only for my eyes")
    stored = await page.evaluate("JSON.stringify(sessionStorage)")
    assert "Only for my eyes" in stored and "horse" not in stored
    await page.context.clear_cookies(name="holdgate")
    await page.reload()
    await signs_in(page, "manager-2")
    await expect(page.locator("#task-comment")).to_have_value("")
    assert "Only for my eyes" not in await page.evaluate("JSON.stringify(sessionStorage)")


def places_of(product: Product, reference: str) -> str:
    pay(product, [reference], [f"Payee of {reference}"])
    with product.client("manager-2") as client:
        (task,) = client.get("/tasks", params={"q": reference, "mine": True}).json()["items"]
    return f"/tasks/{task['task_id']}"


async def test_a_comment_outlives_the_decision_of_somebody_else(windows: Windows, product: Product) -> None:
    there = places_of(product, "FASTER-0")
    page = await windows.of("manager-1", there)
    await page.locator("#task-comment").fill("The order is missing")
    with product.client("manager-3") as other:
        decision = {"verdict": "approve", "revision": 1}
        assert other.post(f"/api/v1{there}/decision".removeprefix("/api/v1"), json=decision).status_code == 200
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("heading", name="Decision", exact=True)).to_have_count(0)
    await expect(page.locator(".left-over")).to_have_count(1)
    await expect(page.locator(".left-over")).to_contain_text("The order is missing")
    await expect(page.locator("#remark")).to_have_value("The order is missing")
    await page.goto(windows.home + there, wait_until="load")
    await expect(page.locator(".left-over")).to_contain_text("The order is missing")
    await page.get_by_text("Write a comment").click()
    await page.locator("#remark").fill("The order is missing")
    await page.get_by_role("button", name="Add comment", exact=True).click()
    await expect(page.locator(".remark")).to_contain_text("manager-1")
    await expect(page.locator(".left-over")).to_have_count(0)


async def test_the_bar_of_the_inbox_says_that_the_session_ended_and_goes_on_after_signing_in(
    windows: Windows, product: Product
) -> None:
    pay(product, ["OUT-0", "OUT-1"], ["Signed Out Ltd", "Signed Out Too Ltd"])
    page = await windows.of("manager-1", "/?q=out-&sort=priority", viewport={"width": 1100, "height": 800})
    await page.keyboard.press("x")
    await page.keyboard.press("j")
    await page.keyboard.press("x")
    await page.keyboard.press("r")
    await page.locator("#comment").fill("Not ours")
    await page.context.clear_cookies(name="holdgate")
    await page.keyboard.press("Enter")
    alert = page.locator("#bar-wrong")
    await expect(alert).to_contain_text("You have been signed out. Your input is kept.")
    await alert.get_by_role("link", name="Sign in again").click()
    await signs_in(page, "manager-1")
    assert page.url == f"{windows.home}/?q=out-&sort=priority"
    await expect(page.locator("#comment")).to_have_value("Not ours")
    await expect(page.locator("input[name=task]:checked")).to_have_count(2)
    await page.keyboard.press("r")
    await page.locator("#comment").press("Enter")
    await expect(page.locator("table.tasks tbody tr")).to_have_count(0)
    await page.reload()
    await expect(page.locator("#comment")).to_have_count(1)
    assert json.loads(await page.evaluate("sessionStorage.getItem('drafts')"))["forms"] == {}


async def test_what_one_decided_oneself_is_not_said_to_be_of_somebody_else(windows: Windows, product: Product) -> None:
    pay(product, ["SELF-0", "SELF-1"], ["Self Ltd", "Self Too Ltd"])
    page = await windows.of("manager-1", "/?q=self-", viewport={"width": 1100, "height": 800})
    with product.client("manager-1") as me:  # as in another window
        (task, *_) = me.get("/tasks", params={"q": "self-", "mine": True}).json()["items"]
        decision = {"verdict": "approve", "revision": task["revision"]}
        assert me.post(f"/tasks/{task['task_id']}/decision", json=decision).status_code == 200
    await expect(page.locator("tr.gone .mark")).to_have_text("You decided this task. Approved")
