"""The API docs in a browser: from our own files only, which the window itself watches."""

from playwright.async_api import expect

from tests.browser.conftest import Windows


async def test_the_docs_of_the_api_work_without_any_other_site(windows: Windows) -> None:
    page = await windows.of(None, "/docs")
    await expect(page.get_by_text("/api/v1/cases", exact=True).first).to_be_visible(timeout=60_000)
