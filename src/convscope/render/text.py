"""Letters on pictures: Pillow's own scalable font, so that every machine draws the same."""

import bisect
import math
import unicodedata
from functools import cache, lru_cache

from PIL import Image, ImageDraw, ImageFont

from convscope.errors import ImageError

PAPER = (255, 255, 255)
INK = (31, 35, 40)
QUIET_INK = (101, 109, 118)
LINE = (208, 215, 222)

# Signs that the font lacks and that labels of networks use, as it can write them.
_SPELLED = {
    "×": "x", "−": "-", "–": "-", "—": "-", "‑": "-", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "≈": "~",
    "µ": "u", "μ": "u", "ε": "eps", "σ": "sigma", "α": "alpha", "β": "beta", "γ": "gamma", "λ": "lambda", "Δ": "delta",
    "δ": "delta", "π": "pi", "Σ": "sum", "∞": "inf", "√": "sqrt", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
    "æ": "ae", "Æ": "AE", "œ": "oe", "\t": " ", "\n": " ",
}  # fmt: skip


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's bundled scalable font at `size` pixels. Raises `ImageError` where Pillow was built without FreeType."""
    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise ImageError("this Pillow has no FreeType, so nothing can be labelled; install Pillow from PyPI")
    return found


@lru_cache(maxsize=4096)
def _has(character: str) -> bool:
    missing = font(16).getmask("\ue123")
    return bytes(font(16).getmask(character)) != bytes(missing)


def legible(text: str) -> str:
    """`text` in letters that the font has: accents dropped, a few signs spelled out, `?` for the rest.

    >>> legible("Müller 3×3 → 5")
    'Muller 3x3 -> 5'
    """
    written = []
    for character in text:
        plain = _SPELLED.get(character, character)
        if not all(map(_has, plain)):
            plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
        written.append(plain if plain and all(map(_has, plain)) else "?")
    return "".join(written)


def width(text: str, size: int) -> int:
    """Pixels that `text` takes, rounded up."""
    words = legible(text).split(" ")
    return math.ceil(sum(font(size).getlength(word) for word in words) + _space(size) * (len(words) - 1))


def _space(size: int) -> int:
    """Pixels between words: the font's own space is so thin at small sizes that words run together."""
    return round(0.3 * size)


def line_height(size: int) -> int:
    """Pixels from one line of text to the next."""
    return round(size * 1.4)


def shorten(text: str, room: int, size: int) -> str:
    """`text` cut to `room` pixels, with an ellipsis where something is missing; empty where nothing fits.

    >>> shorten("golden retriever", 60, 11)
    'golden r…'
    """
    if width(text, size) <= room:
        return text
    cut = [text[:count].rstrip() + "…" for count in range(1, len(text))]
    fitting = bisect.bisect_right(cut, room, key=lambda each: width(each, size))
    return cut[fitting - 1] if fitting else ""


def write(
    picture: Image.Image,
    text: str,
    *,
    at: tuple[int, int],
    size: int,
    colour: tuple[int, int, int] = INK,
    align: str = "left",
) -> None:
    """Draw `text` on `picture`, one line tall from `at` (x, y) down; `align` says which part of it stands at x."""
    x, y = at
    x -= {"left": 0, "centre": width(text, size) // 2, "right": width(text, size)}[align]
    # A common baseline: the letters of "gap" and of "oxo" must stand on one line.
    baseline = y + round(size * 1.05)
    draw = ImageDraw.Draw(picture)
    along = float(x)
    for word in legible(text).split(" "):
        draw.text((along, baseline), word, font=font(size), fill=colour, anchor="ls")
        along += font(size).getlength(word) + _space(size)


def number(value: float) -> str:
    """A number with three significant digits, as short as it can be told.

    >>> number(0.0), number(-0.31), number(1234.5), number(0.00002), number(1e12), number(2.0)
    ('0', '-0.31', '1,234', '2e-5', '1e12', '2')
    """
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    if 1e-3 <= abs(value) < 1e6:
        decimals = max(0, 2 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
