"""Take the pictures of the docs (`make pictures`): the demo's sample story in a real browser, light and dark.

All programs run in a temporary folder on free ports, and are stopped afterwards. The program needs Chromium on PATH.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from core.settings import ROOT

IMAGES = ROOT / "docs" / "images"
PATIENCE_S = 120
WIDTH, HEIGHT = 1400, 860


def main() -> int:
    """Take all pictures again. Return the exit code: 0, or 2 if Chromium is not on PATH."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.stderr.write("make pictures: Chromium is not on PATH; on Debian: apt-get install chromium\n")
        return 2
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        environment = _environment(Path(folder))
        product = subprocess.Popen(
            [sys.executable, "-m", "ops.up"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
        )
        try:
            home, link = _started(Path(folder))
            subprocess.run([sys.executable, "-m", "cli", "demo"], cwd=ROOT, env=environment, check=True)
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                _take(browser, home, link, "dark" if scheme == "dark" else "light")
            browser.close()
        finally:
            product.terminate()
            product.wait(30)
    return 0


def _take(browser: Browser, home: str, link: str, scheme: Literal["light", "dark"]) -> None:
    def page_of(person: str, path: str, width: int = WIDTH, height: int = HEIGHT) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            locale="en-GB",
            timezone_id="Europe/London",
            reduced_motion="reduce",
        )
        context.request.get(link)
        context.request.post(f"{home}/sign-in", form={"demo": person, "zone": "Europe/London"})
        page = context.new_page()
        page.goto(home + path, wait_until="load")
        return page

    def keep(page: Page, name: str, *, whole: bool = False) -> None:
        page.wait_for_timeout(700)  # until scripts have fetched their data
        page.screenshot(path=IMAGES / f"{name}-{scheme}.png", full_page=whole)
        page.context.close()

    inbox = page_of("manager-1", "/")
    inbox.keyboard.press("j")
    inbox.keyboard.press("x")
    inbox.keyboard.press("j")
    inbox.keyboard.press("x")
    keep(inbox, "inbox")
    keep(page_of("manager-1", "/", width=390, height=800), "inbox-phone")
    found = page_of("manager-1", "/?q=inv-1006")
    task = found.locator("table.tasks th a").first.get_attribute("href") or "/"
    found.context.close()
    keep(page_of("manager-1", task, width=1100), "task", whole=True)
    keep(page_of("requester-1", "/cases/payment%3Ainv-1005", width=1100), "case", whole=True)
    upload = page_of("requester-1", "/upload", width=1100)
    upload.get_by_label("Request type of the rows").select_option("payment")
    upload.get_by_label("File", exact=True).set_input_files(ROOT / "docs" / "samples" / "payments.csv")
    upload.get_by_role("button", name="Preview upload").click()
    upload.get_by_role("heading", name="payments.csv").wait_for()
    keep(upload, "upload", whole=True)
    keep(page_of("admin-1", "/dashboard", width=1200), "dashboard", whole=True)


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDGATE_", "TEMPORAL_"))}
    ports = {name: str(_free_port()) for name in ("HOLDGATE_PORT", "HOLDGATE_TEMPORAL_PORT", "HOLDGATE_UI_PORT")}
    return {**kept, **ports, "HOLDGATE_VAR": str(folder)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _started(folder: Path) -> tuple[str, str]:
    """Wait until all programs answer, and return the address of the gateway and the demo's link.

    Raises TimeoutError.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not (folder / "up.json").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("Holdgate did not start; run `make up` to see the error")
        time.sleep(0.1)
    up = json.loads((folder / "up.json").read_text())
    return up["gateway_url"], up["demo_sign_in_url"]


if __name__ == "__main__":
    raise SystemExit(main())
