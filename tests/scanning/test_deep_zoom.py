"""Pictures to zoom into: tiles against one picture that is cut up, memory, folders, and the page in a real browser."""

import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import convscope as cs
from convscope.errors import ImageError
from convscope.scanning import deep_zoom
from convscope.scanning.deep_zoom import write_deep_zoom

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Box = tuple[int, int, int, int]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def write(picture: Image.Image, folder: Path, **options: Any) -> None:
    write_deep_zoom(folder, picture.size, picture.crop, title="Noise", **({"format": "png"} | options))


@given(width=st.integers(1, 600), height=st.integers(1, 600), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=20)
def test_tiles_are_those_of_the_picture_made_smaller_again_and_again(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("zoom")
    picture = noise(width, height, seed)
    write(picture, folder)
    told = ElementTree.fromstring((folder / "map.dzi").read_text()).attrib
    assert (told["TileSize"], told["Overlap"], told["Format"]) == ("256", "1", "png")
    levels = sorted(int(each.name) for each in (folder / "map_files").iterdir())
    assert levels == list(range((max(width, height) - 1).bit_length() + 1))
    for level in reversed(levels):
        across, down = -(-picture.width // 256), -(-picture.height // 256)
        assert len(list((folder / "map_files" / str(level)).iterdir())) == across * down
        for column in range(across):
            for row in range(down):
                box = (
                    max(0, column * 256 - 1), max(0, row * 256 - 1),
                    min(picture.width, column * 256 + 257), min(picture.height, row * 256 + 257),
                )  # fmt: skip
                with Image.open(folder / "map_files" / str(level) / f"{column}_{row}.png") as tile:
                    assert tile.tobytes() == picture.crop(box).tobytes()
        picture = picture.reduce(2)
    assert picture.size == (1, 1)


def test_tiles_may_be_lossy(tmp_path: Path) -> None:
    Image.linear_gradient("L").convert("RGB").resize((400, 300)).save(tmp_path / "it.png")
    with Image.open(tmp_path / "it.png") as picture:
        write(picture, tmp_path / "zoom", format="jpeg")
        with Image.open(tmp_path / "zoom/map_files/9/0_0.jpg") as tile:
            assert np.abs(np.asarray(tile, float) - np.asarray(picture.crop((0, 0, 257, 257)), float)).mean() < 2


def test_a_high_picture_needs_no_more_memory_than_a_low_one(tmp_path: Path) -> None:
    def peak(height: int, name: str) -> int:
        def strip(box: Box) -> Image.Image:
            # Kept on NumPy's memory, which is what can be watched.
            return Image.fromarray(np.full((box[3] - box[1], box[2] - box[0], 3), 7, np.uint8))

        tracemalloc.start()
        write_deep_zoom(tmp_path / name, (800, height), strip, title="High", format="png")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(8000, "high") < 1.5 * peak(1000, "low")


def test_strips_are_asked_for_in_order_and_never_more_than_one_row_of_tiles(tmp_path: Path) -> None:
    asked: list[Box] = []
    picture = noise(300, 700)

    def strip(box: Box) -> Image.Image:
        asked.append(box)
        return picture.crop(box)

    seen: list[tuple[int, int]] = []
    write_deep_zoom(
        tmp_path / "zoom",
        picture.size,
        strip,
        title="Noise",
        progress=lambda each: seen.append((each.done, each.total)),
    )
    assert asked == [(0, 0, 300, 256), (0, 256, 300, 512), (0, 512, 300, 700)]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "zoom"
    write(noise(300, 300), folder)
    before = {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    with pytest.raises(cs.Cancelled):
        write(noise(900, 900, 1), folder, progress=lambda each: each.done < 2)
    assert {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()} == before
    write(noise(20, 20), folder)
    assert not (folder / "map_files/9").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["zoom"]


def test_what_is_no_map_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/one.txt").write_text("mine")
    with pytest.raises(ImageError, match="holds no map; expected a new or an empty folder"):
        write(noise(20, 20), tmp_path / "notes")
    with pytest.raises(ImageError, match="holds no map"):
        write(noise(20, 20), tmp_path / "notes/one.txt")
    assert (tmp_path / "notes/one.txt").read_text() == "mine"
    with pytest.raises(ImageError, match="unknown format of tiles 'jpg'; nearest: jpeg"):
        write(noise(20, 20), tmp_path / "other", format="jpg")
    (tmp_path / "empty").mkdir()
    write(noise(20, 20), tmp_path / "empty")
    assert (tmp_path / "empty/index.html").exists()


def test_names_of_too_many_pictures_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep_zoom, "_NAMED", 2)
    write(noise(20, 20), tmp_path / "zoom", side=4, squares=[(0, 0, "some.png", -1)] * 3)
    assert "some.png" not in (tmp_path / "zoom/index.html").read_text()


NASTY = '</script><b>it\'s & "so".png'


@pytest.fixture(scope="module")
def squares_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen squares of their own colours in four rows, and their names."""
    folder = tmp_path_factory.mktemp("page") / "a map #1"
    sheet = Image.new("RGB", (1600, 1600), "white")
    told = []
    for at in range(16):
        left, upper = at % 4 * 400, at // 4 * 400
        sheet.paste((at * 16, 255 - at * 16, 90), (left, upper, left + 400, upper + 400))
        told.append((left, upper, NASTY if at == 0 else f"picture {at}.png", at % 2))
    legend = [((0, 98, 178), "even <kind> (8)"), ((225, 110, 0), "odd kind (8)")]
    write(sheet, folder, squares=told, side=400, legend=legend)
    return folder / "index.html"


class _Open:
    """A page that was opened, what it asked for and what it complained of."""

    def __init__(self, page: "Page", path: Path) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(path.as_uri(), wait_until="load")
        page.locator("canvas[data-scale]").wait_for()
        page.wait_for_timeout(300)

    @property
    def scale(self) -> float:
        return float(self.page.evaluate("document.querySelector('canvas').dataset.scale"))

    def colour(self, x: float, y: float) -> list[int]:
        """What the canvas shows at a point, in shares of its width and height."""
        with Image.open(BytesIO(self.page.locator("canvas").screenshot())) as shot:
            found = shot.convert("RGB").getpixel((int(x * shot.width), int(y * shot.height)))
        assert isinstance(found, tuple)
        return list(found)

    @property
    def middle(self) -> tuple[float, float]:
        box = self.page.locator("canvas").bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def settle(self) -> None:
        self.page.wait_for_timeout(250)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_the_whole_zooms_and_moves(browser: "Browser", squares_page: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    try:
        opened = _Open(page, squares_page)
        canvas = page.locator("canvas").bounding_box()
        assert canvas is not None
        whole = opened.scale
        assert whole == pytest.approx(min(canvas["width"], canvas["height"]) / 1600, rel=0.01)
        x, y = opened.middle
        assert opened.colour(0.49, 0.49) == [80, 175, 90]
        page.mouse.move(x + 5, y + 5)
        page.mouse.wheel(0, -480)
        opened.settle()
        assert opened.scale == pytest.approx(4 * whole, rel=0.01)
        assert opened.colour(0.4, 0.45) == [80, 175, 90]
        page.mouse.down()
        page.mouse.move(x - 80, y - 60, steps=4)
        page.mouse.up()
        opened.settle()
        assert opened.colour(0.5, 0.5) == [160, 95, 90]
        assert page.locator("output").inner_text() == "picture 10.png · even <kind>"
        page.get_by_role("button", name="Whole").click()
        opened.settle()
        assert opened.scale == pytest.approx(whole)
        page.locator("canvas").press("+")
        page.locator("canvas").press("ArrowLeft")
        opened.settle()
        assert opened.scale == pytest.approx(1.5 * whole)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        assert opened.complaints == []
        folder = squares_page.parent.as_uri() + "/"
        assert len(opened.requests) > 4
        assert [url for url in opened.requests if not url.startswith(folder)] == []
    finally:
        page.close()


@pytest.mark.slow
def test_the_page_tells_names_as_they_are(browser: "Browser", squares_page: Path) -> None:
    page = browser.new_page(viewport={"width": 900, "height": 900})
    try:
        opened = _Open(page, squares_page)
        x, y = opened.middle
        away = 600 * opened.scale
        page.mouse.move(x - away, y - away)
        opened.settle()
        assert page.locator("output").inner_text() == f"{NASTY} · even <kind>"
        page.mouse.move(x - 820 * opened.scale, y)
        assert page.locator("output").inner_text() == ""
        assert [each.strip() for each in page.locator("footer li").all_inner_texts()] == [
            "even <kind> (8)",
            "odd kind (8)",
        ]
        assert page.locator("b").count() == 0
        assert opened.complaints == []
    finally:
        page.close()


@pytest.mark.slow
def test_two_fingers_zoom(browser: "Browser", squares_page: Path) -> None:
    page = browser.new_page(viewport={"width": 600, "height": 800}, has_touch=True)
    try:
        opened = _Open(page, squares_page)
        whole, (x, y) = opened.scale, opened.middle
        session = page.context.new_cdp_session(page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            session.send(
                "Input.dispatchTouchEvent",
                {"type": kind, "touchPoints": [{"x": a, "y": b, "id": i} for i, (a, b) in enumerate(points)]},
            )

        touch("touchStart", (x - 40, y), (x + 40, y))
        for away in (60, 80, 120):
            touch("touchMove", (x - away, y), (x + away, y))
        touch("touchEnd")
        opened.settle()
        assert opened.scale == pytest.approx(3 * whole, rel=0.1)
        assert opened.complaints == []
    finally:
        page.close()
