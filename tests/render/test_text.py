import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from convscope.errors import ImageError
from convscope.render import text


@given(st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_text_becomes_letters_of_the_font(words: str) -> None:
    shown = text.legible(words)
    assert text.legible(shown) == shown
    assert text.width(words, 11) == text.width(shown, 11)


@given(st.text(alphabet="abc WMi…", max_size=20), st.integers(0, 150))
@settings(max_examples=60, deadline=None)
def test_shortened_text_fits(words: str, room: int) -> None:
    shown = text.shorten(words, room, 11)
    assert shown == words or shown == "" or shown.endswith("…")
    assert text.width(shown, 11) <= room or shown == ""


def test_text_that_fits_is_left_alone() -> None:
    assert text.shorten("tabby", text.width("tabby", 11), 11) == "tabby"


@pytest.mark.parametrize("align", ["left", "centre", "right"])
def test_text_stays_in_its_line_and_on_its_side(align: str) -> None:
    picture = Image.new("L", (200, 40), 255).convert("RGB")
    text.write(picture, "Égypt gap", at=(100, 10), size=15, align=align)
    ink = picture.convert("L").point(lambda level: 255 - level).getbbox()
    assert ink is not None
    left, top, right, bottom = ink
    assert top >= 10
    assert bottom <= 10 + text.line_height(15)
    wide = text.width("Égypt gap", 15)
    start = {"left": 100, "centre": 100 - wide // 2, "right": 100 - wide}[align]
    assert start - 1 <= left <= right <= start + wide + 1


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (0.931, "0.931"),
        (0.9999, "1"),
        (-0.0456, "-0.0456"),
        (12.345, "12.3"),
        (123456.7, "123,457"),
        (999999.9, "1,000,000"),
        (1e6, "1e6"),
        (-2.5e-7, "-2.5e-7"),
        (9.999e-4, "1e-3"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_numbers(value: float, told: str) -> None:
    assert text.number(value) == told


def test_a_pillow_without_freetype_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFont, "load_default", lambda size: object())
    with pytest.raises(ImageError, match="no FreeType"):
        text.font.__wrapped__(11)
