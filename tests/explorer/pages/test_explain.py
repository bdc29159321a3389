"""The page Explain as its users meet it: the occluder in hand, maps that fill in, verdicts, mistakes, addresses."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.explorer.pages.conftest import PHONE, Opened
from tests.explorer.serving import Client

from convscope.attribution.methods import METHODS
from convscope.image.write import read_recipe
from convscope.progress import Progress, Watcher

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.slow

AT_ONCE = "explain?methods=grad-cam"
FILLING = "explain?methods=occlusion&occlusion=4%2C1%2Cgray"


def card(page: "Page", title: str) -> "Locator":
    return page.get_by_role("article", name=title, exact=True)


def made(page: "Page", title: str) -> "Locator":
    """The card of a map that is there."""
    found = card(page, title)
    found.get_by_role("button", name="cut out").wait_for()
    return found


def answer(page: "Page") -> str:
    return page.locator("td.now").first.inner_text()


def wait_for_answer(page: "Page", *, other_than: str | None = None) -> str:
    shown = page.locator("td.now").first
    shown.wait_for()
    if other_than is not None:
        page.locator("td.now", has_not_text=re.compile(f"^{re.escape(other_than)}$")).first.wait_for()
    return shown.inner_text()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Occlusion stops after its first step, until it is told to go on or cancelled."""
    go_on = threading.Event()
    usual = METHODS["occlusion"]

    def waiting(*given: Any, progress: Watcher | None = None, **options: Any) -> Any:
        def watch(step: Progress) -> bool | None:
            assert progress is not None
            while progress(step) is not False:
                if go_on.wait(0.05):
                    return True
            return False

        return usual(*given, progress=watch, batch=64, **options)

    monkeypatch.setitem(cast("dict[str, Callable[..., Any]]", METHODS), "occlusion", waiting)
    yield go_on
    go_on.set()


def clear_share(card: "Locator") -> float:
    """Which part of a map is not known yet."""
    share = card.locator(".heatmap canvas").evaluate(
        """canvas => {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return data.filter((value, at) => at % 4 === 3 && value === 0).length / (data.length / 4);
        }"""
    )
    return float(share)


def test_it_opens_with_an_answer_and_its_maps(opened: Opened) -> None:
    page = opened("explain?methods=grad-cam,saliency")
    page.get_by_role("heading", level=1, name=re.compile(r"^Why class \d\?$")).wait_for()
    for title in ("Grad-CAM", "Saliency"):
        shown = made(page, title)
        assert shown.get_by_label(re.compile(r"^scale from ")).is_visible()
    assert wait_for_answer(page)
    assert page.get_by_text(re.compile("own scale")).is_visible()
    page.get_by_role("combobox", name="scale").select_option("shared")
    page.get_by_text(re.compile("divided by its largest absolute value")).wait_for()


def test_occlusion_fills_in_is_cancelled_and_goes_on(opened: Opened, held: threading.Event, served: Client) -> None:
    page = opened(FILLING, refused=True)
    filling = card(page, "Occlusion")
    filling.get_by_text(re.compile("filling in")).wait_for()
    filling.locator(".heatmap canvas[width]").wait_for()
    assert 0 < clear_share(filling) < 1
    (job,) = [each for each in served.ask("/api/jobs").json if each["state"] == "running"]
    assert 0 < job["done"] < job["total"]
    assert filling.get_by_role("progressbar").get_attribute("value") == str(job["done"])
    filling.get_by_role("button", name="cancel").click()
    filling.get_by_text("cancelled").wait_for()
    assert served.ask(f"/api/jobs/{job['id']}").json["state"] == "cancelled"
    held.set()
    filling.get_by_role("button", name="go on").click()
    assert clear_share(made(page, "Occlusion")) == 0


def test_a_page_that_leaves_ends_what_it_asked_for(opened: Opened, held: threading.Event, served: Client) -> None:
    page = opened(FILLING.replace("4%2C", "5%2C"), refused=True)
    card(page, "Occlusion").get_by_text(re.compile("filling in")).wait_for()
    page.get_by_role("button", name="Occlusion", exact=True).click()
    page.get_by_text("No method is chosen").wait_for()
    page.get_by_text("no job running").wait_for()
    assert all(each["state"] != "running" for each in served.ask("/api/jobs").json)


def test_a_full_queue_is_said_and_asked_again(
    opened: Opened, held: threading.Event, served: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.explorer.jobs, "_limit", 1)
    page = opened(FILLING.replace("4%2C", "6%2C"), refused=True)
    card(page, "Occlusion").get_by_text(re.compile("filling in")).wait_for()
    page.get_by_role("button", name="Deconvnet").click()
    card(page, "Deconvnet").get_by_text(re.compile("in line")).wait_for()
    page.get_by_role("button", name="Guided backprop").click()
    card(page, "Guided backprop").get_by_role("alert").filter(has_text="waiting already").wait_for()
    held.set()
    made(page, "Deconvnet")
    card(page, "Guided backprop").get_by_role("button", name="try again").click()
    made(page, "Guided backprop")


def test_the_verdict_is_shown_with_its_words(opened: Opened) -> None:
    page = opened(AT_ONCE)
    judged = made(page, "Grad-CAM").get_by_role("button", name=re.compile("^verdict: (holds|weak|fails)$"))
    assert judged.count() == 0
    page.get_by_role("switch", name="verdicts").click()
    judged.wait_for()
    judged.focus()
    page.get_by_role("tooltip").filter(has_text="random weights").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("tooltip").filter(has_text="random weights").wait_for(state="hidden")
    assert "checks=verdict" in page.url
    page.go_back()
    judged.wait_for(state="detached")


def test_curves_have_areas(opened: Opened) -> None:
    page = opened(f"{AT_ONCE}&checks=curves")
    for name in ("insertion", "deletion"):
        made(page, "Grad-CAM").get_by_role("img", name=re.compile(rf"^{name}: area [\d.]+, by chance")).wait_for()


def test_the_occluder_is_dragged_and_the_answer_follows(opened: Opened) -> None:
    page = opened(AT_ONCE)
    before = wait_for_answer(page)
    square = page.get_by_role("button", name=re.compile("^occluder at"))
    box = square.bounding_box()
    picture = page.get_by_alt_text("as the network is given it").bounding_box()
    assert box is not None
    assert picture is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(picture["x"] + 5, picture["y"] + 5, steps=5)
    page.get_by_role("button", name=re.compile("^occluder at row 0, column 0,")).wait_for()
    after = wait_for_answer(page, other_than=before)
    page.mouse.up()
    page.wait_for_url(re.compile(r"hand=0%2C0%2C6"))
    assert re.fullmatch(r"\d+ ms", page.locator(".took").inner_text())
    # A click beside it brings it there, and the same place is the same answer.
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wait_for_answer(page, other_than=after)
    assert answer(page) == before


def test_the_occluder_is_moved_by_keys(opened: Opened) -> None:
    page = opened(AT_ONCE)
    before = wait_for_answer(page)
    square = page.get_by_role("button", name=re.compile("^occluder at"))
    for _ in range(20):
        page.keyboard.press("Tab")
        if square.evaluate("each => each === document.activeElement"):
            break
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "+"):
        page.keyboard.press(key)
    page.get_by_role("button", name=re.compile("^occluder at row 10, column 9, 8 pixels")).wait_for()
    wait_for_answer(page, other_than=before)
    assert "hand=10%2C9%2C8" in page.url
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.get_by_text("9 px").wait_for()
    page.get_by_role("combobox", name="filled with").first.select_option("zero")
    page.wait_for_url(re.compile("fill=zero"))


def test_a_click_on_a_class_asks_about_it(opened: Opened) -> None:
    page = opened(AT_ONCE)
    wait_for_answer(page)
    second = page.locator(".answers button").nth(1)
    label = second.locator(".label").inner_text()
    second.click()
    page.get_by_role("heading", level=1, name=f"Why {label}?").wait_for()
    page.go_back()
    page.get_by_role("heading", level=1, name=re.compile(f"^Why (?!{label})")).wait_for()


def test_an_address_shows_what_it_was_taken_from(opened: Opened) -> None:
    address = (
        "explain?methods=integrated-gradients,saliency&target=class%3A1+-+class%3A2&scale=shared&hand=3%2C4%2C9"
        "&fill=mean&through=70"
    )
    page = opened(address)
    for each in (page, opened("explain" + page.url.partition("/explain")[2])):
        each.get_by_role("heading", level=1, name="Why class 1 rather than class 2?").wait_for()
        made(each, "Integrated gradients")
        made(each, "Saliency")
        assert each.get_by_role("article").count() == 2
        assert each.get_by_role("combobox", name="scale").input_value() == "shared"
        assert each.get_by_role("combobox", name="filled with").first.input_value() == "mean"
        assert each.get_by_role("slider", name=re.compile("shows through")).input_value() == "70"
        assert each.get_by_role("button", name=re.compile("^occluder at row 3, column 4, 9 pixels")).is_visible()
        wait_for_answer(each)
    assert answer(each) == answer(page)


def test_what_is_not_understood_is_said_where_it_happens(opened: Opened) -> None:
    page = opened(f"{AT_ONCE}&target=no+such+thing", refused=True)
    alert = card(page, "Grad-CAM").get_by_role("alert")
    alert.filter(has_text="no such thing").wait_for()
    page.get_by_role("region", name="the occluder in hand").get_by_role("alert").wait_for()


def test_a_map_is_saved_with_its_recipe(opened: Opened, tmp_path: Path) -> None:
    page = opened(AT_ONCE)
    menu = made(page, "Grad-CAM").get_by_title("save or share")
    menu.click()
    with page.expect_download() as picture:
        page.get_by_role("link", name="picture, its recipe inside").click()
    with page.expect_download() as recipe:
        page.get_by_role("button", name="recipe as JSON").click()
    picture.value.save_as(tmp_path / "map.png")
    recipe.value.save_as(tmp_path / "map.json")
    told = json.loads((tmp_path / "map.json").read_text())
    assert told["method"] == "grad_cam"
    assert read_recipe(tmp_path / "map.png").method == "grad_cam"


def test_the_object_is_cut_out(opened: Opened) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV")
    page = opened(AT_ONCE)
    made(page, "Grad-CAM").get_by_role("button", name="cut out").click()
    page.get_by_text(re.compile("of the picture$")).wait_for()
    for name in ("where the object ends", "the object alone"):
        picture = page.get_by_alt_text(name)
        picture.wait_for()
        assert picture.evaluate("each => each.decode().then(() => each.naturalWidth)") > 0


def test_a_mistake_is_explained_by_a_click(opened: Opened) -> None:
    page = opened(AT_ONCE)
    page.get_by_role("tab", name="mistakes").click()
    page.get_by_text(re.compile(r"^\d+ of \d+ pictures are taken for another class")).wait_for()
    assert "tab=mistakes" in page.url
    first = page.locator(".mistakes li button").first
    said, true = (text.removeprefix("is ") for text in first.locator(".line span:first-child").all_inner_texts())
    first.click()
    page.get_by_role("heading", level=1, name=f"Why {said} rather than {true}?").wait_for()
    made(page, "Grad-CAM")
    page.go_back()
    page.locator(".mistakes li button").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(opened: Opened, scheme: str) -> None:
    page = opened(f"{AT_ONCE},guided-grad-cam&checks=verdict,curves&scale=shared", PHONE, scheme=scheme)
    for title in ("Grad-CAM", "Guided Grad-CAM"):
        # Also while jobs stand in line below.
        made(page, title)
        assert page.get_by_role("main").evaluate("each => each.offsetWidth") == PHONE[0]
        card(page, title).get_by_role("img", name=re.compile("^deletion")).wait_for()
    page.locator("details").evaluate_all("all => all.forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    main = page.get_by_role("main")
    assert main.evaluate("each => each.scrollWidth - each.clientWidth") <= 0
    boxes = [each.bounding_box() for each in (page.locator(".hand"), *page.get_by_role("article").all())]
    for above, below in pairwise(boxes):
        assert above is not None
        assert below is not None
        assert above["y"] + above["height"] <= below["y"]
        assert below["x"] + below["width"] <= PHONE[0]
