"""The page Look as its users meet it: by pointer, keys, camera, address, and on a phone."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from tests.explorer.conftest import explorer_of
from tests.explorer.pages.conftest import PHONE, Opened
from tests.explorer.serving import Client, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

UNIT = "[aria-label=unit] h2"
GRID = "canvas[aria-label*='channels']"


def unit(page: "Page") -> str:
    return page.locator(UNIT).inner_text()


def wait_for_unit(page: "Page", name: str) -> None:
    page.locator(UNIT, has_text=re.compile(re.escape(name) + "$")).wait_for()
    page.get_by_role("heading", name="Activation", exact=True).wait_for()


def test_it_opens_full_and_forgets_the_token(opened: Opened) -> None:
    page = opened()
    page.locator(UNIT).wait_for()
    assert "token" not in page.url
    # On the first picture of one's own.
    assert "image=file-" in page.url
    assert page.locator("[aria-label=input] .predictions li").count() == 5
    for picture in page.locator("img").all():
        picture.wait_for()
        assert picture.evaluate("each => each.complete && each.naturalWidth > 0")
    # The unit that is driven most, with the patches that drive it in the scan.
    page.locator("[aria-label=unit] ol img").nth(8).wait_for()
    assert page.get_by_text("values here").is_visible()
    assert page.get_by_text(re.compile("largest in 10 photographs")).is_visible()


def test_a_few_pictures_are_scanned_unasked(
    opened: Opened, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path))
    with serving(explorer_of(folder, tmp_path / "results")) as alone:
        page = opened("look?layer=3&channel=2", of=alone)
        page.locator("[aria-label=unit] ol img").nth(5).wait_for()
        assert page.get_by_text(re.compile("from [67] photographs")).is_visible()


def test_a_file_is_chosen(opened: Opened, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), "teal").save(tmp_path / "my sea.png")
    page = opened(refused=True)
    page.locator(UNIT).wait_for()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "my sea.png")
    page.get_by_text("my sea").wait_for()
    assert "image=upload-" in page.url
    (tmp_path / "no picture.png").write_text("<svg/>")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "no picture.png")
    page.get_by_role("alert").filter(has_text="expected").wait_for()
    assert "image=upload-" in page.url


def test_layers_change_by_click_and_key_and_the_back_button_returns(opened: Opened) -> None:
    page = opened("look?layer=1&channel=2")
    wait_for_unit(page, "1:2")
    page.get_by_role("group", name="layers").get_by_role("button", name="3", exact=True).click()
    page.locator(UNIT, has_text=re.compile("^3:")).wait_for()
    assert "layer=3" in page.url
    page.keyboard.press("[")
    page.locator(UNIT, has_text=re.compile("^2:")).wait_for()
    page.go_back()
    page.locator(UNIT, has_text=re.compile("^3:")).wait_for()
    page.go_back()
    wait_for_unit(page, "1:2")


def test_a_channel_is_chosen_by_click_and_moved_from_by_keys(opened: Opened) -> None:
    page = opened("look?layer=3&channel=9")
    wait_for_unit(page, "3:9")
    page.locator(GRID).click(position={"x": 5, "y": 5})
    wait_for_unit(page, "3:0")
    assert "channel=0" in page.url
    for key, name in {"ArrowRight": "3:1", "l": "3:2", "h": "3:1", "ArrowLeft": "3:0"}.items():
        page.keyboard.press(key)
        wait_for_unit(page, name)
    page.keyboard.press("b")
    page.locator("select[aria-label=rule] option:checked", has_text="guided backprop").wait_for(state="attached")
    assert "rule=guided" in page.url
    # A click on its map asks about that place.
    page.locator(".heatmap.picked").click(position={"x": 4, "y": 4})
    page.get_by_text(re.compile("at row 0, column 0")).wait_for()
    assert "place=0%2C0" in page.url


def test_keys_that_are_typed_into_a_field_are_letters(opened: Opened) -> None:
    page = opened("look?layer=3&channel=1")
    wait_for_unit(page, "3:1")
    page.get_by_role("searchbox", name="filter layers").fill("")
    page.get_by_role("searchbox", name="filter layers").press_sequentially("relu")
    page.get_by_role("group", name="layers").get_by_role("button").nth(1).wait_for()
    assert page.get_by_role("group", name="layers").get_by_role("button").all_inner_texts() == ["1", "3"]
    assert unit(page) == "3:1"


def test_a_pinned_unit_stays_while_others_are_browsed(opened: Opened) -> None:
    page = opened("look?layer=1&channel=4")
    wait_for_unit(page, "1:4")
    page.keyboard.press("d")
    page.keyboard.press("]")
    page.get_by_text(re.compile("^2 ")).first.wait_for()
    assert unit(page) == "1:4"
    assert "pin=1%3A4" in page.url
    page.keyboard.press("d")
    page.locator(UNIT, has_text=re.compile("^2:")).wait_for()


def test_pictures_are_stepped_through(opened: Opened) -> None:
    page = opened("look?layer=1&channel=4")
    wait_for_unit(page, "1:4")
    before = re.search("image=([^&]+)", page.url)
    page.keyboard.press("e")
    page.wait_for_url(lambda url: "image=" in url and (before is None or before[1] not in url))
    page.keyboard.press("w")
    page.wait_for_url(lambda url: before is not None and before[1] in url)


def test_the_camera_is_seen_through_the_network_and_frozen(opened: Opened) -> None:
    page = opened("look?layer=1&channel=4")
    wait_for_unit(page, "1:4")
    page.keyboard.press("c")
    page.get_by_text(re.compile(r"^[1-9]\d*/s · \d+ ms$")).wait_for()
    page.keyboard.press("]")
    page.locator("h2", has_text=re.compile("^2:")).wait_for()
    page.keyboard.press("f")
    page.locator(UNIT, has_text=re.compile("^2:")).wait_for()
    assert "image=upload-" in page.url
    assert page.get_by_role("button", name="freeze").count() == 0


def test_an_address_shows_what_it_was_taken_from(opened: Opened) -> None:
    page = opened("look?layer=3&channel=2&sort=activation&scale=shared&rule=deconvnet")
    wait_for_unit(page, "3:2")
    again = opened(page.url.partition("/look")[2].join(["look", ""]))
    wait_for_unit(again, "3:2")
    assert [again.get_by_role("combobox", name=name).input_value() for name in ("sort", "scale", "rule")] == [
        "activation", "shared", "deconvnet",
    ]  # fmt: skip


def test_an_address_that_names_what_is_not_there_says_so(opened: Opened, served: Client) -> None:
    page = opened("look?layer=nowhere&channel=999999&image=none", refused=True)
    page.get_by_role("alert").first.wait_for()
    assert "no such" in page.get_by_role("alert").first.inner_text()


def test_on_a_phone_nothing_is_wider_than_the_page(opened: Opened) -> None:
    page = opened("look?layer=3&channel=2", PHONE)
    page.get_by_role("button", name="open the unit").click()
    wait_for_unit(page, "3:2")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("main").evaluate("each => each.scrollWidth <= each.clientWidth")
    page.get_by_role("button", name="close the unit").click()


def test_what_a_sheet_hides_is_no_stop_of_the_tab_key(opened: Opened) -> None:
    page = opened("look?layer=3&channel=2", PHONE)
    page.get_by_role("button", name="open the unit").click()
    wait_for_unit(page, "3:2")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="open the unit").wait_for()
    assert page.get_by_role("button", name="pin").is_hidden()
    assert page.evaluate("document.activeElement.innerText") == "open the unit"


def test_another_network_is_not_asked_for_what_the_first_one_has(opened: Opened) -> None:
    # An answer that is an error would be told by the browser.
    page = opened("look?layer=3&channel=9&place=1%2C1&target=class+1&pin=3%3A2")
    wait_for_unit(page, "3:2")
    networks = page.get_by_role("combobox", name="network")
    networks.select_option(label="other")
    page.locator("[aria-label=input] .predictions").get_by_text("crack - surface: fine", exact=True).wait_for()
    wait_for_unit(page, "")
    assert not {"pin", "target", "place", "channel"} & set(re.findall(r"(\w+)=", page.url))
    # Its classes can't be told apart by their names alone.
    page.locator("[aria-label=input] .predictions button").first.click()
    page.get_by_role(
        "heading", level=1, name=re.compile(r"^Why (crack - surface: fine|no crack - nor: any)\?$")
    ).wait_for()
    assert re.search("target=class%3A[01]", page.url)
    page.get_by_role("article", name="Grad-CAM", exact=True).get_by_role("button", name="cut out").wait_for()
    page.go_back()
    page.locator("[aria-label=input] .predictions").get_by_text("crack - surface: fine", exact=True).wait_for()
    page.go_back()
    wait_for_unit(page, "3:2")
    assert networks.locator("option:checked").inner_text() != "other"
    assert "pin=3%3A2" in page.url
    assert "target=class+1" in page.url


def test_what_is_one_value_a_channel_is_on_one_scale(opened: Opened) -> None:
    page = opened("look?layer=6")
    page.locator(UNIT, has_text=re.compile("^6:")).wait_for()
    scale = page.get_by_role("combobox", name="scale")
    assert scale.input_value() == "shared"
    assert scale.is_disabled()


def test_pictures_and_maps_are_enlarged(opened: Opened) -> None:
    page = opened("look?layer=3&channel=2")
    wait_for_unit(page, "3:2")
    large = page.get_by_role("dialog", name=re.compile("enlarged$"))
    patch = page.locator("[aria-label=unit] ol button").first
    patch.click()
    assert large.get_by_role("img").evaluate("each => each.decode().then(() => each.naturalWidth)") > 0
    page.keyboard.press("Escape")
    large.wait_for(state="hidden")
    assert patch.evaluate("each => each === document.activeElement")
    # A click on the activation picks a place; its button enlarges.
    page.get_by_role("button", name="enlarge: activation of 3:2").press("Enter")
    large.get_by_label(re.compile("^scale from ")).wait_for()
    # Keys are the dialog's now.
    page.keyboard.press("ArrowRight")
    large.get_by_role("button", name="close").click()
    large.wait_for(state="hidden")
    assert unit(page) == "3:2"


def test_pictures_are_one_stop_of_the_tab_key(opened: Opened) -> None:
    page = opened("look?layer=3&channel=2")
    wait_for_unit(page, "3:2")
    pictures = page.locator(".picker li button")
    stops = pictures.evaluate_all("all => all.map(each => each.tabIndex)")
    assert sorted(stops) == [-1] * (len(stops) - 1) + [0]
    pictures.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("image="))
    assert pictures.nth(1).get_attribute("aria-pressed") == "true"
    assert unit(page) == "3:2"


def test_files_dropped_anywhere_are_taken(opened: Opened, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "teal").save(tmp_path / "sea.png")
    page = opened("look?layer=3&channel=2", refused=True)
    wait_for_unit(page, "3:2")
    drop = """([bytes, name]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name));
        const event = new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector('footer').dispatchEvent(event);
        return event.defaultPrevented;
    }"""
    assert page.evaluate(drop, [list((tmp_path / "sea.png").read_bytes()), "sea.png"])
    page.wait_for_url(re.compile("image=upload-"))
    assert page.evaluate(drop, [list(b"<svg/>"), "no.svg"])
    page.get_by_role("alert").filter(has_text="expected").wait_for()
    page.get_by_role("button", name="all right").click()
    assert page.get_by_role("alert").count() == 0


@pytest.mark.parametrize("address", ["look?layer=3&channel=2", "explain?methods=grad-cam&checks=curves"])
def test_all_that_can_be_used_has_a_name(opened: Opened, address: str) -> None:
    page = opened(address)
    page.get_by_role("heading").first.wait_for()
    page.get_by_role("button", name=re.compile("^enlarge: ")).first.wait_for()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, a, input, select, summary, img')].filter(each => {
            const label = each.getAttribute('aria-label') ?? (each.labels?.length ? each.labels[0].textContent : null)
                ?? each.getAttribute('alt') ?? (each.textContent || each.title);
            return each.tabIndex > 0 || (each.tagName !== 'IMG' && !/[a-z0-9]/i.test(label ?? ''))
                || (each.tagName === 'IMG' && each.getAttribute('alt') === null);
        }).map(each => each.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(opened: Opened, scheme: str) -> None:
    page = opened("look?layer=3&channel=2", scheme=scheme)
    wait_for_unit(page, "3:2")
    grey = """(each, of) => {
        const canvas = document.createElement('canvas').getContext('2d');
        canvas.fillStyle = getComputedStyle(each)[of];
        canvas.fillRect(0, 0, 1, 1);
        const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    }"""
    body = page.locator("body")
    ink, ground = body.evaluate(grey, "color"), body.evaluate(grey, "backgroundColor")
    assert abs(ink - ground) > 128
    assert (ground < 128) == (scheme == "dark")
