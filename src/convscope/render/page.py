"""One frame for every report: a single HTML file that asks nothing of the network, in light and dark."""

import base64
import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from io import BytesIO
from numbers import Real
from operator import index
from os import PathLike
from typing import Self, SupportsIndex, TypeAlias

from PIL import Image

from convscope.image.recipe import Recipe
from convscope.image.write import atomic_path, png_bytes
from convscope.render.text import number

_CONTENTS_FROM = 4
"""Sections from which on a page has a list of them."""

# Nothing is fetched, sent or run: the page's own styles and pictures within it are all there is.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

_FRAME = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{lead}{contents}</header>
<main>
{sections}</main>
</body>
</html>
"""

_NUMERIC = re.compile(r"[-−+]?\d[\d,]*(\.\d+)?([eE][-−+]?\d+)?\s?%?")


@dataclass(frozen=True)
class Html:
    """A piece of a page, trusted as it stands: the functions below make it, and escape what they are given."""

    text: str


Cell: TypeAlias = "str | int | float | Html | None"


@dataclass
class Page:
    """A page of sections under a title; `lead` is the line below it.

    >>> page = Page("Report", lead="tabby.jpg").section("Answer", paragraph("tabby, 0.93"))
    >>> page.html().startswith("<!doctype html>")
    True
    """

    title: str
    lead: str = ""
    sections: list[tuple[str, tuple[Html, ...]]] = field(default_factory=list)

    def section(self, heading: str, *blocks: Html) -> Self:
        """Add a section and return the page, so that sections can be chained."""
        self.sections.append((heading, blocks))
        return self

    def html(self) -> str:
        """The whole page, with its styles and pictures inside it; the same for the same content."""
        return _FRAME.format(
            policy=_POLICY,
            title=_escape(self.title),
            style=files("convscope.render").joinpath("page.css").read_text(encoding="utf-8"),
            lead=f"<p>{_escape(self.lead)}</p>\n" if self.lead else "",
            contents=self._contents(),
            sections="".join(_section(place, *each) for place, each in enumerate(self.sections, start=1)),
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the page to `path`, whole or not at all. Raises `ImageError` where that can't be."""
        with atomic_path(path) as temporary:
            temporary.write_text(self.html(), encoding="utf-8")

    def _contents(self) -> str:
        if len(self.sections) < _CONTENTS_FROM:
            return ""
        links = "".join(
            f'<li><a href="#section-{place}">{_escape(heading)}</a></li>'
            for place, (heading, _) in enumerate(self.sections, start=1)
        )
        return f'<nav aria-label="Contents"><ol>{links}</ol></nav>\n'


def paragraph(text: str) -> Html:
    """Running text.

    >>> paragraph("1 < 2").text
    '<p>1 &lt; 2</p>'
    """
    return Html(f"<p>{_escape(text)}</p>")


def code(text: str) -> Html:
    """Text as a terminal shows it: commands, JSON."""
    return Html(f"<pre><code>{_escape(text)}</code></pre>")


def details(summary: str, *blocks: Html) -> Html:
    """Blocks that unfold where the `summary` is clicked."""
    return Html(f"<details><summary>{_escape(summary)}</summary>{_join(blocks)}</details>")


def gallery(*blocks: Html) -> Html:
    """Blocks side by side, as many as the window has room for."""
    return Html(f'<div class="gallery">{_join(blocks)}</div>')


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Html:
    """A table that scrolls under its header; columns of numbers, or of text that reads as numbers, stand right.

    Whole numbers get commas, others three significant digits; None is an empty cell. Raises `ValueError` for a row
    of another length than `columns`.

    >>> "1,280</td>" in table(["layer", "channels"], [("head", 1280)]).text
    True
    """
    body = [list(row) for row in rows]
    down = zip(*body, strict=True) if body else ((),) * len(columns)
    numeric = [_is_numeric(cells) for cells in down]
    head = "".join(_table_cell("th", name, right) for name, right in zip(columns, numeric, strict=True))
    lines = (
        "<tr>" + "".join(_table_cell("td", cell, right) for cell, right in zip(row, numeric, strict=True)) + "</tr>"
        for row in body
    )
    return Html(
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def bars(items: Iterable[tuple[str, float, str]]) -> Html:
    """Bars such as predictions: (label, how much of the bar is filled from 0 to 1, what is written behind it).

    >>> 'style="width:93.0%"' in bars([("tabby", 0.93, "0.930")]).text
    True
    """
    lines = (
        f'<li><span>{_escape(label)}</span><span class="track"><span class="fill" style="width:{_percent(fraction)}">'
        f'</span></span><span class="value">{_escape(value)}</span></li>'
        for label, fraction, value in items
    )
    return Html(f'<ol class="bars">{"".join(lines)}</ol>')


def figure(
    picture: Image.Image,
    caption: str = "",
    *,
    recipe: Recipe | None = None,
    alt: str | None = None,
    width: int | None = None,
    pixelated: bool = False,
    quality: int | None = None,
) -> Html:
    """A picture within the page, never wider than the window; `width` is what it takes where there is room, in pixels.

    `alt` is read to those who can't see it, by default the caption. A picture with a recipe carries it, also when it is
    saved from the page, and shows it when asked. `pixelated` keeps the squares of an enlarged map sharp. `quality`
    (1 to 100) makes it a lossy WebP, which is a fifth of a PNG's size and carries no recipe: for a thousand of them.
    """
    kind, content = ("png", png_bytes(picture, recipe)) if quality is None else ("webp", _lossy(picture, quality))
    source = f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")
    shown = width or picture.width
    height = round(picture.height * shown / picture.width)
    told = _escape(caption if alt is None else alt)
    return Html(
        ('<figure class="pixelated">' if pixelated else "<figure>")
        + f'<img decoding="async" src="{source}" alt="{told}" width="{shown}" height="{height}">'
        + (f"<figcaption>{_escape(caption)}</figcaption>" if caption else "")
        + (_recipe(recipe) if recipe else "")
        + "</figure>"
    )


def _lossy(picture: Image.Image, quality: int) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format="WEBP", quality=quality, method=2)
    return buffer.getvalue()


def _recipe(recipe: Recipe) -> str:
    """What made a picture, folded up, and how to make it again."""
    readable = json.dumps(json.loads(recipe.to_json()), indent=2, ensure_ascii=False)
    how = paragraph("Saved from this page, the picture carries this recipe; convscope redo makes it again.")
    return details("Recipe", code(readable), how).text


def _section(place: int, heading: str, blocks: Sequence[Html]) -> str:
    return f'<section id="section-{place}">\n<h2>{_escape(heading)}</h2>\n{_join(blocks)}\n</section>\n'


def _join(blocks: Iterable[Html]) -> str:
    return "\n".join(each.text for each in blocks)


def _escape(text: str) -> str:
    # File names may hold bytes that are no text; a page is always UTF-8.
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))


def _percent(fraction: float) -> str:
    # A comparison with NaN is false, so that it fills nothing.
    return f"{100 * min(fraction, 1.0) if fraction > 0 else 0.0:.1f}%"


def _is_numeric(cells: Sequence[Cell]) -> bool:
    """Whether a column holds numbers and nothing else, but for empty cells."""
    filled = [cell for cell in cells if cell is not None and cell != ""]
    return bool(filled) and all(
        isinstance(cell, Real) or (isinstance(cell, str) and _NUMERIC.fullmatch(cell) is not None) for cell in filled
    )


def _table_cell(tag: str, cell: Cell, right: bool) -> str:
    opening = f'<{tag} class="number">' if right else f"<{tag}>"
    return f"{opening}{_cell_text(cell)}</{tag}>"


def _cell_text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case Html():
            return cell.text
        case str():
            return _escape(cell)
        case SupportsIndex():
            return f"{index(cell):,}".replace("-", "−")
    return number(cell).replace("-", "−")
