"""The dashboard in a browser: plots are drawn from the tables beside them, in the colours of light and dark."""

from urllib.parse import quote

from playwright.async_api import Page, expect

from tests.api.conftest import eventually, payment
from tests.browser.conftest import Windows, violations

DRAWN = """() => [...document.querySelectorAll('figure[data-plot] canvas')].map((canvas) => {
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(new Uint32Array(pixels.buffer)).size;
})"""
"""How many colours each plot is drawn with."""


async def test_plots_are_drawn_and_their_numbers_stand_in_a_table(windows: Windows) -> None:
    with windows.product.client("requester-1") as requester:
        case_id = requester.post("/cases", json=payment(amount="100.00")).json()["case_id"]

        async def case() -> str:
            return str(requester.get(f"/cases/{quote(case_id, safe='')}").json()["status"])

        await eventually(case, lambda status: status == "completed")
    page = await windows.of("admin-1", "/dashboard?period=24h", color_scheme="dark")
    await expect(page.locator("figure canvas")).to_have_count(3)
    assert all(colours > 10 for colours in await page.evaluate(DRAWN))
    plot = page.locator("figure", has_text="Ended requests").first
    await plot.get_by_text("Show as table").click()
    last = plot.locator("tbody tr").last
    shown = (await last.locator("td").first.inner_text()).strip()
    over = plot.locator(".u-over")
    box = await over.bounding_box()
    assert box is not None
    await over.hover(position={"x": box["width"] - 12, "y": box["height"] / 2})
    await expect(plot.locator(".u-legend .u-series", has_text="Completed")).to_contain_text(f"Completed{shown}")
    assert int(shown) >= 1
    await fits(page)
    assert await violations(page) == []


async def fits(page: Page) -> None:
    """Also on a phone nothing overflows at the side, and the plots are drawn again."""
    await page.set_viewport_size({"width": 375, "height": 800})
    await page.wait_for_function(
        "() => [...document.querySelectorAll('figure canvas')].every((canvas) => canvas.clientWidth <= 343)"
    )
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
