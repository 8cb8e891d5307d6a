"""The docs as a site: complete, and readable without a network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from scripts import site
from tests.support.chromium import CHROMIUM, MISSING
from tests.support.installed_app import ROOT


@pytest.fixture(scope="module")
def built() -> Path:
    done = subprocess.run([sys.executable, "-m", "scripts.site"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return site.SITE


def test_the_site_has_a_page_for_each_page_of_the_docs(built: Path) -> None:
    docs = ROOT / "docs"
    pages = {page.relative_to(docs).with_suffix(".html") for page in docs.rglob("*.md")}
    assert pages <= {page.relative_to(built) for page in built.rglob("*.html")}


def test_every_page_but_decisions_is_in_the_navigation() -> None:
    docs = ROOT / "docs"
    listed = set(re.findall(r"\"([\w/.-]+\.md)\"", (docs / "zensical.toml").read_text()))
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md") if page.parent.name != "decisions"}
    assert listed == pages | {"decisions/index.md"}


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "index.html loads https://cdn.example/x.js"),
        ('<a href="nowhere.html">', "index.html links to nowhere.html, which is not in the site"),
    ],
)
def test_what_is_wrong_with_a_site_is_named(tmp_path: Path, page: str, said: str) -> None:
    (tmp_path / "index.html").write_text(page)
    assert site.problems(tmp_path) == [said]


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
async def test_a_browser_that_opens_the_site_asks_nobody_else(built: Path) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index.html", "operate/install.html", "architecture.html"):
            await page.goto((built / name).as_uri())
            await page.wait_for_load_state("load")
        assert asked and not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
        await browser.close()
