"""The report in a real browser: it fits wide and narrow windows, shows every picture, and asks nothing of anyone."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import convscope as cs

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WIDTHS = [1280, 390]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(lite0: cs.Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "chelsea.html"
    cs.report(lite0, cs.read_image("chelsea"), verdicts=False).save(path)
    return path


@pytest.mark.parametrize("unfolded", [False, True], ids=["folded", "unfolded"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_is_whole(browser: "Browser", report: Path, width: int, unfolded: bool) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto(report.as_uri(), wait_until="load")
        if unfolded:
            page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        widths = page.eval_on_selector_all("img", "all => all.map(each => each.complete ? each.naturalWidth : 0)")
        shown = page.eval_on_selector_all("img", "all => all.map(each => each.getBoundingClientRect().width)")
        title = page.title()
    finally:
        page.close()
    assert overflow <= 0
    assert len(widths) > 10
    assert min(widths) > 0
    assert min(shown) > 0
    assert max(shown) <= width
    assert "chelsea" in title
    assert [url for url in requests if url != report.as_uri() and not url.startswith("data:")] == []
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground_in_light_and_dark(browser: "Browser", report: Path, scheme: str) -> None:
    page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
    try:
        page.goto(report.as_uri(), wait_until="load")
        ink, ground = page.evaluate(
            """() => {
                const grey = colour => {
                    const canvas = document.createElement('canvas').getContext('2d');
                    canvas.fillStyle = colour;
                    canvas.fillRect(0, 0, 1, 1);
                    const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
                    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
                };
                const ground = [document.body, document.documentElement]
                    .map(each => getComputedStyle(each).backgroundColor).find(each => !each.endsWith(', 0)'));
                return [grey(getComputedStyle(document.querySelector('h2')).color), grey(ground ?? 'white')];
            }"""
        )
    finally:
        page.close()
    assert abs(ink - ground) > 128
    assert (ground < 128) == (scheme == "dark")
