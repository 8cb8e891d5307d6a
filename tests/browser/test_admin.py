"""What operators, auditors and admins do in a browser: somebody is added and works, and takes the evidence along."""

import asyncio
import sys
from zipfile import ZipFile

from playwright.async_api import expect

from tests.browser.conftest import Windows
from tests.support.installed_app import ROOT, Product


async def test_an_admin_adds_somebody_whose_password_opens_the_inbox_and_an_auditor_takes_the_evidence(
    windows: Windows, product: Product
) -> None:
    admin = await windows.of("admin-1", "/people", java_script_enabled=False)
    await admin.get_by_text("Add a person").click()
    await admin.get_by_label("ID", exact=True).fill("anna")
    await admin.get_by_label("Name", exact=True).fill("Anna Berg")
    await admin.get_by_role("button", name="Add person", exact=True).click()
    await expect(admin.get_by_role("heading", name="Anna Berg")).to_be_visible()
    await admin.get_by_role("button", name="Send one-time link").click()
    await expect(admin.get_by_text("./holdgate people password anna")).to_be_visible()

    command = [sys.executable, "-m", "cli", "people", "password", "anna"]
    made = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=product.environment, stdout=asyncio.subprocess.PIPE
    )
    password = (await made.communicate())[0].decode().strip()
    anna = await windows.of(None, "/settings")
    await anna.get_by_label("Name or e-mail address").fill("anna")
    await anna.get_by_label("Password").fill(password)
    await anna.get_by_role("button", name="Sign in", exact=True).click()
    await expect(anna.get_by_role("heading", name="Your password")).to_be_visible()

    auditor = await windows.of("auditor-1", "/audit?q=anna")
    await expect(auditor.get_by_text("anna was added with no groups")).to_be_visible()
    await auditor.get_by_role("link", name="Check", exact=True).click()
    await auditor.get_by_role("button", name="Check whole audit log").click()
    await expect(auditor.get_by_text("Nothing was changed.")).to_be_visible()
    await auditor.get_by_role("link", name="Evidence", exact=True).click()
    of_period = auditor.locator("section", has_text="Evidence of a period")
    await of_period.get_by_label("From").fill("2020-01-01")
    await of_period.get_by_label("To, included").fill("2099-12-31")
    async with auditor.expect_download() as download:
        await of_period.get_by_role("button", name="Download").click()
    saved = await (await download.value).path()
    with ZipFile(saved) as pack:
        assert "anna was added with no groups" in pack.read("report.html").decode()
        assert b'"intact": true' in pack.read("manifest.json")
