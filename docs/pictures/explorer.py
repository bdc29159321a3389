"""Takes the pictures of `docs/explorer.md` in Debian's Chromium: `python -m docs.pictures.explorer`."""

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
NETWORK = "network=efficientnet-lite0"


def main() -> None:
    with started() as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])

        def opened(place: str, *, scheme: str = "light", size: tuple[int, int] = (1280, 800)) -> Page:
            context = browser.new_context(
                viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if scheme == "dark" else "light"
            )
            page = context.new_page()
            page.set_default_timeout(180_000)
            page.goto(address.replace("/?", f"/{place}&"))
            return page

        page = opened(f"look?{NETWORK}&image=sample-coffee&layer=blocks.4.expand.activation&sort=activation&channel=30")
        page.locator("[data-unit]").wait_for()
        scan = page.get_by_role("button", name="scan the samples at this layer")
        if scan.count():
            scan.click()
        page.locator("[aria-label=unit] ol img").nth(8).wait_for()
        save(page, "explorer-look")
        page = opened(f"explain?{NETWORK}&image=sample-coffee&checks=verdict", scheme="dark")
        page.get_by_role("button", name=re.compile("holds|weak|fails")).nth(2).wait_for()
        page.wait_for_timeout(2000)
        save(page, "explorer-explain")
        browser.close()


@contextmanager
def started() -> Iterator[str]:
    """The command, and the address that it printed."""
    command = [sys.executable, "-m", "convscope", "explore", "--port", "0", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield next(line for line in map(str.strip, process.stdout) if "token=" in line)
    finally:
        process.terminate()
        process.wait(10)


def save(page: Page, name: str) -> None:
    """What is seen, as JPEG: noise and photographs make a PNG large."""
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").save(HERE / f"{name}.jpg", quality=80, optimize=True)


if __name__ == "__main__":
    main()
