"""Lists at every width: titles have room, no word is broken, nobody scrolls sideways, payees keep their places."""

from typing import Any

import pytest
from playwright.async_api import Page

from tests.browser.conftest import Windows, pay, until
from tests.support.installed_app import Product

WIDTHS = (360, 641, 768, 900, 1024, 1199, 1200, 1280, 1366, 1440, 1920)
ZOOMED = 640
"""1280 px at 200 %."""
ARABIC = "شركة النور للتجارة 24"
LONG = (
    "The Honourable Company of Reprographic Wholesalers and Stationery Distributors of Northumberland "
    "and Scotland, Limited.."
)
ONE_WORD = "Wholesale" * 13 + "Ltd"

MEASURED = """() => {
  const broken = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const host = node.parentElement;
    if (!host.checkVisibility() || host.closest("script, style, .hidden, svg, option")) continue;
    for (const word of node.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
      if (word[0].length > 30) continue;  // it has to be broken somewhere
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const parts = [...range.getClientRects()].filter((box) => box.width > 0);
      const lines = new Set(parts.map((box) => Math.round(box.top)));
      if (lines.size > 1) broken.push(`${word[0]} in ${host.outerHTML.slice(0, 80)}`);
    }
  }
  const boxes = (selector) => [...document.querySelectorAll(selector)].map((each) => each.getBoundingClientRect());
  const whole = (box) => box.top >= 0 && box.bottom <= innerHeight;
  return {
    broken,
    sideways: Math.max(0, document.documentElement.scrollWidth - innerWidth),
    title: Math.min(...boxes("table.tasks th[scope=row]").map((box) => box.width)),
    rows: boxes("table.tasks tbody tr").filter(whole).length,
  };
}"""


async def measured(page: Page, width: int) -> dict[str, Any]:
    await page.set_viewport_size({"width": width, "height": 800})
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found: dict[str, Any] = await page.evaluate(MEASURED)
    return found


def fill(product: Product) -> None:
    """Tasks of payees whom nobody has paid yet: long names, one in Arabic; one task was sent back."""
    assert len(LONG) == len(ONE_WORD) == 120
    payees = [ARABIC, LONG, ONE_WORD, *(f"Newcomer Infrastructure {n} Ltd" for n in range(9))]
    pay(product, [f"WIDE-{n}" for n in range(12)], payees)
    with product.client("manager-2") as manager, product.client("requester-1") as requester:

        def of(kind: str, client: Any) -> list[str]:
            found = client.get("/tasks", params={"q": "wide-11", "status": "open"}).json()["items"]
            return [each["task_id"] for each in found if each["kind"] == kind]

        back = {"verdict": "request_changes", "comment": "Whose order?", "revision": 1}
        (task,) = of("gate", manager)
        assert manager.post(f"/tasks/{task}/decision", json=back).status_code == 200
        until(lambda: bool(of("changes", requester)))
        (task,) = of("changes", requester)
        again = {"verdict": "resubmit", "edits": {"memo": "Order 17"}, "revision": 1}
        assert requester.post(f"/tasks/{task}/decision", json=again).status_code == 200
        until(lambda: bool(of("gate", manager)))


@pytest.mark.parametrize(
    "every", [pytest.param(False, id="some"), pytest.param(True, id="all", marks=pytest.mark.soak)]
)
async def test_the_inbox_and_other_lists_are_read_at_every_width(
    windows: Windows, product: Product, every: bool
) -> None:
    """In every run the inbox at all widths, and each of the other lists at two."""
    fill(product)
    page = await windows.of("manager-1", "/?q=wide-")
    assert await page.locator("table.tasks tbody tr").count() == 12
    assert await page.locator(".tag", has_text="round 2").count() == 1
    payee = page.locator("table.tasks th a bdi bdi").filter(has_text="شركة")
    assert await payee.text_content() == ARABIC, "isolated, the amount beside it"
    for width in (*WIDTHS, ZOOMED):
        found = await measured(page, width)
        assert found["sideways"] == 0 and found["broken"] == [], (width, found)
        assert found["title"] >= 220, (width, found)
        assert width != 1280 or found["rows"] >= 7, found
    # In the bar, too, the payee is isolated from the amount.
    await page.set_viewport_size({"width": 1100, "height": 800})
    await page.locator("table.tasks tr", has_text="شركة").get_by_role("checkbox").check()
    assert await page.locator("#sum bdi bdi").first.text_content() == ARABIC
    with product.client("manager-1") as client:
        found = client.get("/tasks", params={"q": "wide-2", "status": "open", "limit": 200}).json()["items"]
        (one_word,) = [each for each in found if ONE_WORD in each["title"]]
    other = [
        ("manager-1", f"/tasks/{one_word['task_id']}"),
        ("requester-1", "/requests"),
        ("manager-1", "/cases?q=wide-"),
        ("admin-1", "/people"),
        ("admin-1", "/audit"),
    ]
    other += [("operator-1", "/incidents"), ("manager-1", "/?q=wide-&by=payee")]
    pages = {person: await windows.of(person, "/notices") for person, _ in other}
    for at, (person, address) in enumerate(other):
        page = pages[person]
        await page.goto(windows.home + address, wait_until="domcontentloaded")
        for width in (360, ZOOMED, 641, 769, 900, 1200)[0 if every else at % 3 :: 1 if every else 3]:
            found = await measured(page, width)
            assert found["sideways"] == 0 and found["broken"] == [], (address, width, found)
