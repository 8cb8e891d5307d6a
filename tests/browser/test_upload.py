"""Uploading in a browser: a dropped file is looked at, started and watched to its end; and so without scripts."""

from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.conftest import Windows, violations
from tests.support.installed_app import ROOT

DROP = """(area, file) => {
  const dropped = new DataTransfer();
  dropped.items.add(new File([file.text], file.name, {type: "text/csv"}));
  area.dispatchEvent(new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
}"""


def payments(mark: str) -> str:
    """The sample file with references of its own, for other stories upload it too."""
    return (ROOT / "docs" / "samples" / "payments.csv").read_text().replace("INV-", f"{mark}-")


async def fits(page: Page) -> bool:
    """Whether nobody has to scroll sideways."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


async def test_a_dropped_file_is_looked_at_started_and_watched_to_its_end(windows: Windows) -> None:
    page = await windows.of("requester-1", "/upload")
    assert await violations(page) == []
    await page.get_by_label("Request type of the rows").select_option("payment")
    await page.locator(".drop").evaluate(DROP, {"text": payments("UPL"), "name": "june.csv"})
    await page.get_by_role("button", name="Preview upload").click()
    await expect(page.get_by_role("heading", name="june.csv")).to_be_visible()
    await expect(page.get_by_text("12 lines were read.")).to_be_visible()
    await expect(page.get_by_text("Manager approval:")).to_be_visible()
    await page.get_by_role("heading", name="Columns").click()
    await expect(page.get_by_label("Column for Payee", exact=True)).to_have_value("payee")
    assert await violations(page) == []

    await page.get_by_role("button", name="Start 12 payments").click()
    await expect(page.get_by_role("progressbar")).to_have_js_property("value", 12)
    await expect(page.locator("#status")).to_have_text("Completed")
    await expect(page.get_by_role("link", name="Waiting for approval")).to_be_visible()
    await expect(page.get_by_role("link", name="UPL-1003")).to_be_visible()
    assert await violations(page) == []

    await page.goto(f"{windows.home}/requests")
    row = page.get_by_role("listitem").filter(has_text="UPL-1003")
    await expect(row).to_contain_text("Waiting for one of the managers for less than a minute")
    await row.get_by_role("button", name="Send reminder").click()
    await expect(row).to_contain_text("next reminder possible from")
    await row.locator("summary").click()
    await row.get_by_label("Reason (shown in the audit log)").fill("Paid by card")
    assert await violations(page) == []
    await row.get_by_role("button", name="Withdraw request").click()
    await expect(page.get_by_text("Your request is being withdrawn.")).to_be_visible()


async def test_a_file_is_corrected_and_started_without_scripts_on_a_dark_phone(
    windows: Windows, tmp_path: Path
) -> None:
    phone = {"viewport": {"width": 375, "height": 700}, "color_scheme": "dark"}
    page = await windows.of("requester-2", "/upload", java_script_enabled=False, **phone)
    file = tmp_path / "council.csv"
    file.write_text(
        "Trans No;Supplier Name;Amount;Pay date\nPHONE-1;Beta GmbH;1.500,00;02/01/2031\nPHONE-2;;70,00;03/01/2031\n"
    )
    await page.get_by_label("Request type of the rows").select_option("payment")
    await page.get_by_label("File", exact=True).set_input_files(file)
    await page.get_by_role("button", name="Preview upload").click()
    await expect(page.get_by_role("heading", name="council.csv")).to_be_visible()
    await page.get_by_label("Currency in every row").fill("EUR")
    await page.get_by_label("From account in every row").fill("operating")
    await page.get_by_label("Column for Due date").select_option("Pay date")
    await page.get_by_label("Date format").select_option("DD/MM/YYYY")
    await page.get_by_label("Decimal separator").select_option(",")
    await page.get_by_role("button", name="Update preview").click()
    await expect(page.get_by_text("1,500.00 EUR").first).to_be_visible()
    await expect(page.get_by_text("enter a value")).to_be_visible()
    await page.get_by_role("button", name="Start 1 payment").click()
    await expect(page.get_by_role("heading", name="Progress")).to_be_visible()
    assert '<meta http-equiv="refresh"' in await page.content()
    while not await page.get_by_text("1 of 1 rows started").count():
        await page.reload()
    await expect(page.get_by_role("link", name="Download invalid rows (CSV)")).to_be_visible()
    batch = page.url.removeprefix(windows.home)
    phone_again = await windows.of("requester-2", "/requests", **phone)
    for address in ("/requests", "/new", "/new/payment", "/upload", "/batches", batch, "/cases"):
        await phone_again.goto(windows.home + address)
        assert await fits(phone_again), address
        if address in ("/requests", "/new/payment", "/cases"):
            assert await violations(phone_again) == [], address


async def test_a_form_says_who_will_be_asked_and_what_is_wrong_without_losing_what_was_typed(windows: Windows) -> None:
    page = await windows.of("requester-2", "/new/payment")
    look = page.get_by_role("button", name="Preview approvals")
    await page.get_by_label("Reference", exact=True).fill("FORM-1")
    await page.get_by_label("Amount", exact=True).fill("12x")
    await look.click()
    await expect(page.get_by_text("write the amount as a plain number")).to_be_visible()
    await expect(look).to_be_focused()
    assert await violations(page) == []
    for label, text in {"Payee": "Form Ltd", "Amount": "12000", "Currency": "GBP", "From account": "operating"}.items():
        await page.get_by_label(label, exact=True).fill(text)
    await look.click()
    await expect(page.locator("#preview")).to_contain_text("Managers must approve. 2 approvals are needed.")
    await expect(page.locator("#said")).to_contain_text("Managers must approve.")
    await page.get_by_role("button", name="Submit request", exact=True).click()
    await expect(page.get_by_role("heading", name="Pay Form Ltd 12,000.00 GBP")).to_be_visible()
