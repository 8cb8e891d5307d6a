"""Passkeys in a browser with a virtual authenticator: added, used, refused and removed, and hidden at an IP address."""

from typing import Any

from playwright.async_api import Browser, CDPSession, Page, expect

from tests.browser.conftest import Windows, violations

KIND = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Device:
    """The virtual authenticator of a window."""

    def __init__(self, cdp: CDPSession, id: str) -> None:
        self._cdp, self._id = cdp, id

    @classmethod
    async def of(cls, page: Page) -> "Device":
        cdp = await page.context.new_cdp_session(page)
        await cdp.send("WebAuthn.enable", {"enableUI": False})
        added = await cdp.send("WebAuthn.addVirtualAuthenticator", {"options": KIND})
        return cls(cdp, added["authenticatorId"])

    async def verifies(self, yes: bool) -> None:
        await self._send("setUserVerified", isUserVerified=yes)

    async def counter(self, count: int) -> int:
        """Replace the passkey by a copy with this counter, and return the counter that it had."""
        [known] = (await self._send("getCredentials"))["credentials"]
        await self._send("removeCredential", credentialId=known["credentialId"])
        await self._send("addCredential", credential={**known, "signCount": count})
        return int(known["signCount"])

    async def _send(self, what: str, **given: Any) -> Any:
        return await self._cdp.send(f"WebAuthn.{what}", {"authenticatorId": self._id, **given})


async def sign_out(page: Page) -> None:
    await page.get_by_label("Signed in as Manager 3").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()


async def test_a_passkey_is_added_once_signs_in_and_is_refused_once_it_is_copied_or_removed(windows: Windows) -> None:
    page = await windows.of("manager-3", "/settings")
    device = await Device.of(page)
    section, sign_in = page.locator("#passkeys"), page.get_by_role("button", name="Sign in with a passkey")
    for said in ("Your passkey is added.", "has a passkey for your account already."):
        await section.get_by_label("Name of the new passkey").fill("Work laptop")
        await section.get_by_role("button", name="Add passkey").click()
        await expect(section.get_by_text(said)).to_be_visible()
    await expect(section.get_by_text("Work laptop")).to_have_count(1)
    assert await violations(page) == []

    await sign_out(page)
    await sign_in.click()
    await expect(page.get_by_label("Signed in as Manager 3")).to_be_visible()
    await page.goto(f"{windows.home}/settings")
    await expect(section.get_by_text("last used")).to_be_visible()

    await sign_out(page)
    await device.verifies(False)
    await sign_in.click()
    await expect(page.get_by_text("No passkey was used. Try again.")).to_be_visible()
    await device.verifies(True)
    count = await device.counter(0)
    await sign_in.click()
    await expect(page.get_by_text("The passkey was not accepted.")).to_be_visible()
    await device.counter(count + 10)
    await sign_in.click()
    await page.get_by_role("link", name="Your account has changed").click()
    await expect(page.get_by_text("There may be a copy of the passkey.")).to_be_visible()

    await section.get_by_label("Change passkey Work laptop").click()
    await section.get_by_role("button", name="Remove passkey").click()
    await expect(section.get_by_text("The passkey is removed.")).to_be_visible()
    await page.goto(f"{windows.home}/settings")  # the session began with this passkey, and has ended with it
    await sign_in.click()
    await expect(page.get_by_text("The passkey was not accepted.")).to_be_visible()


async def test_no_passkey_is_offered_at_an_ip_address(windows: Windows, chromium: Browser) -> None:
    context = await chromium.new_context()
    page = await context.new_page()
    link = windows.product.up["demo_sign_in_url"].replace("//localhost", "//127.0.0.1")
    await page.goto(link)
    await expect(page.get_by_role("button", name="manager-2")).to_be_visible()
    await expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_hidden()
    await page.get_by_role("button", name="manager-2").click()
    await page.goto(f"{link.partition('/sign-in')[0]}/settings")
    await expect(
        page.locator("#passkeys").get_by_text("This browser cannot use passkeys at this address")
    ).to_be_visible()
    await expect(page.get_by_role("button", name="Add passkey")).to_be_hidden()
    await context.close()
