"""A one-time link in a browser: looking burns nothing, its code is in no address, and its owner sets a password."""

from datetime import UTC, datetime

from playwright.async_api import expect

from store.db.database import Database
from store.people import one_time_links, people
from tests.browser.conftest import Windows
from tests.support.installed_app import Product


async def test_a_browser_that_only_looks_burns_nothing_and_its_owner_sets_a_password(
    windows: Windows, product: Product
) -> None:
    database, now = Database(f"sqlite:///{product.folder}/holdgate.db"), datetime.now(UTC)
    async with database.write() as conn:
        await people.add(conn, "linda", "Linda", ["managers"], by="cli:test", email="linda@example.org")
        link, _ = await one_time_links.ask(conn, "linda", "admin-1", now, mail=True)
        code = await one_time_links.seal(conn, link.link_id, now)
    for _ in range(2):  # what a scanner of links does: opens it with scripts, follows all links of the page
        scanner = await windows.of(None, f"/link#{code}")
        await expect(scanner.get_by_label("Your code")).to_have_value(str(code))
        for address in await scanner.eval_on_selector_all("a[href]", "all => all.map(each => each.href)"):
            await scanner.request.get(address)
    async with database.read() as conn:
        assert (await one_time_links.get(conn, link.link_id, now)).status == "open"
    await database.close()

    page = await windows.of(None, f"/link#{code}", viewport={"width": 375, "height": 800})
    assert page.url == f"{windows.home}/link", "the code is in the address, and in the history of the browser, no more"
    await page.get_by_label("New password", exact=True).fill("too short")
    await page.get_by_label("Repeat new password").fill("too short")
    await page.get_by_role("button", name="Set password").click()
    await expect(page.get_by_text("Choose a password with 12 to 200 characters.")).to_be_visible()
    await page.get_by_label("Your code").fill(str(code))
    await page.get_by_label("New password", exact=True).fill("correct horse battery")
    await page.get_by_label("Repeat new password").fill("correct horse battery")
    await page.get_by_role("button", name="Set password").click()
    await expect(page.get_by_text("Your password is set.")).to_be_visible()
    await page.get_by_role("link", name="Sign in", exact=True).click()
    await page.get_by_label("Name or e-mail address").fill("linda")
    await page.get_by_label("Password", exact=True).fill("correct horse battery")
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.get_by_role("link", name="Your account has changed").click()
    await expect(page.get_by_text("You set your password.")).to_be_visible()
    log = (product.folder / "log" / "gateway.log").read_text()
    assert str(code) not in log and "/link" in log
