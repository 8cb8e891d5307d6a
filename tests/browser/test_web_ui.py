"""Temporal's Web UI through its guard, in a real browser; and what the browser cannot reach beside it."""

import itertools

import psutil
import pytest
from playwright.async_api import Browser, Error, expect

from ops.hidden_addresses import PORTS
from tests.browser.conftest import pay
from tests.support.installed_app import Product


async def test_the_page_of_a_case_shows_its_history_through_the_guard(product: Product, chromium: Browser) -> None:
    pay(product, ["GUARDED-1"], ["Guarded Ltd"])
    with product.client("admin-1") as client:
        link = client.get("/cases/payment:guarded-1").json()["temporal_url"]
    assert link.startswith(product.up["temporal_ui_url"] + "/")
    page = await chromium.new_page()
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("response", lambda answer: wrong.append(answer.url) if answer.status >= 400 else None)
    await page.goto(link)
    await expect(page.get_by_text("payment:guarded-1").first).to_be_visible(timeout=60_000)
    await expect(page.get_by_text("Event History").first).to_be_visible(timeout=60_000)
    await expect(page.get_by_text("screen_payment").first).to_be_visible(timeout=60_000)
    assert wrong == []
    await page.close()


async def test_a_browser_connects_to_none_of_the_ports_behind_the_guard(product: Product, chromium: Browser) -> None:
    """A page that points its own name at this machine is stopped by the browser, before it has said a name."""
    command = psutil.Process(product.up["pids"]["temporal"]).cmdline()
    given = dict(itertools.pairwise(command))
    addresses = [
        f"http://{given['--ui-ip']}:{given['--ui-port']}/",
        f"http://127.0.0.1:{given['--metrics-port']}/metrics",
        *(f"http://127.0.0.1:{port}/" for port in PORTS),
    ]
    page = await chromium.new_page()
    for address in addresses:
        with pytest.raises(Error, match="ERR_UNSAFE_PORT"):
            await page.goto(address)
    await page.close()
