import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convscope.image.recipe import Recipe
from convscope.image.write import read_recipe
from convscope.render.page import (
    Html,
    Page,
    bars,
    code,
    details,
    figure,
    gallery,
    paragraph,
    table,
)

NASTY = "<script>alert(1)</script> & \"quotes\" 'n' </style>"
RECIPE = Recipe(method="saliency", parameters={"label": NASTY}, network=NASTY, weights=None, threads=1, version="0.1.0")
PICTURE = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10)


class Checker(HTMLParser):
    """Checks that tags balance, and collects elements and text."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def check(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return checker


def every_block(text: str) -> tuple[Html, ...]:
    return (
        paragraph(text),
        code(text),
        table([text, "number"], [(text, 1), (Html("<b>bold</b>"), 2.5), (None, None)]),
        bars([(text, 0.5, text)]),
        gallery(figure(PICTURE, text, recipe=RECIPE), figure(PICTURE, alt=text, pixelated=True)),
        details(text, paragraph(text)),
    )


def full_page(text: str, sections: int = 5) -> Page:
    page = Page(text, lead=text)
    for _ in range(sections):
        page.section(text, *every_block(text))
    return page


def test_a_page_is_well_formed_and_escapes_what_it_is_given() -> None:
    checker = check(full_page(NASTY).html())
    assert checker.all("script") == []
    assert len(checker.all("style")) == 1
    assert NASTY in checker.text
    assert all(each["alt"] == NASTY for each in checker.all("img"))


@given(st.text(max_size=20))
@settings(max_examples=40, deadline=None)
def test_any_text_is_escaped(text: str) -> None:
    check("".join(each.text for each in every_block(text)))


def test_a_page_asks_nothing_of_the_network() -> None:
    text = full_page(NASTY).html()
    checker = check(text)
    assert not re.search(r"https?://|@import|url\(", text)
    links = [value for _, attributes in checker.elements for key, value in attributes.items() if key in ("src", "href")]
    assert links
    assert all(each is not None and each.startswith(("data:", "#section-")) for each in links)
    policy = next(each["content"] for each in checker.all("meta") if "http-equiv" in each)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_contents_are_listed_from_four_sections_on() -> None:
    assert check(full_page("a", sections=3).html()).all("nav") == []
    checker = check(full_page("a", sections=4).html())
    assert len(checker.all("nav")) == 1
    places = {each["id"] for each in checker.all("section")}
    assert {f"#{place}" for place in places} == {each["href"] for each in checker.all("a")}


def test_numbers_stand_right() -> None:
    columns = ["name", "count", "share", "value", "mixed", "empty"]
    text = table(columns, [("a", 1280, "93.1%", -0.5, 3, None), ("b", -7, "4 %", 2.5e-7, "x", None)]).text
    assert re.findall(r'<th( class="number")?>', text) == ["", *[' class="number"'] * 3, "", ""]
    assert re.findall(r'<td class="number">(.*?)</td>', text) == ["1,280", "93.1%", "−0.5", "−7", "4 %", "2.5e−7"]


def test_numbers_of_numpy_are_numbers() -> None:
    cells: list[tuple[Any, Any]] = [(np.int64(123456), np.float32(0.25))]
    assert re.findall(r'"number">([^<]+)</td>', table(["a", "b"], cells).text) == ["123,456", "0.25"]


def test_a_table_of_uneven_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        table(["a", "b"], [("x",)])
    assert check(table(["a"], []).text).all("td") == []


@pytest.mark.parametrize(
    ("fraction", "shown"), [(0.931, "93.1%"), (0, "0.0%"), (-1, "0.0%"), (7, "100.0%"), (float("nan"), "0.0%")]
)
def test_bars_end_where_their_track_ends(fraction: float, shown: str) -> None:
    fills = [each for each in check(bars([("a", fraction, "")]).text).all("span") if each.get("class") == "fill"]
    assert [each["style"] for each in fills] == [f"width:{shown}"]


def test_a_figure_holds_the_picture_and_its_recipe(tmp_path: Path) -> None:
    checker = check(figure(PICTURE, "caption", recipe=RECIPE).text)
    (image,) = checker.all("img")
    assert (image["width"], image["height"], image["alt"]) == ("6", "4", "caption")
    source = image["src"]
    assert source is not None
    data = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(PICTURE))
    path = tmp_path / "saved.png"
    path.write_bytes(data)
    assert read_recipe(path) == RECIPE


def test_a_figure_without_a_recipe_has_nothing_to_unfold() -> None:
    checker = check(figure(PICTURE, width=60, pixelated=True).text)
    assert checker.all("details") == checker.all("figcaption") == []
    assert checker.all("figure") == [{"class": "pixelated"}]
    assert [(each["width"], each["height"]) for each in checker.all("img")] == [("60", "40")]


def test_a_page_is_saved_whole_and_always_the_same(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    full_page("naïve \udcff name").save(path)
    assert path.read_text(encoding="utf-8") == full_page("naïve ? name").html()
    assert full_page("a").html() == full_page("a").html()
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
