"""Where the network is wrong: how often, what it confuses, and its most confident errors with what they resemble."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convscope.errors import ConvscopeError
from convscope.image.recipe import Recipe
from convscope.render import text
from convscope.render.colours import Scale
from convscope.render.grid import LABEL_SIZE, MARGIN, lay_out, stack, title_strip
from convscope.render.result import Pictured
from convscope.render.text import INK, PAPER, QUIET_INK, number
from convscope.scanning.flow import flowed
from convscope.scanning.neighbours import Neighbour, default_layer, picture_of, tile
from convscope.scanning.search import Search
from convscope.scanning.selectivity import class_name

if TYPE_CHECKING:
    from convscope.scanning.stored import Scan

MATRIX_LIMIT = 30
"""So many classes are drawn as a matrix at most."""

CELL = 120
_ON_SHEET = 12
_BETWEEN = 20
_SQUARE = 24
_NAME_LIMIT = 160


@dataclass(frozen=True)
class Confusion:
    """So many images of the class `truth` (out of `images` of it) were taken for `said`."""

    truth: str
    said: str
    count: int
    images: int


@dataclass(frozen=True)
class Mistake:
    """An image that was taken for another class: its class is `truth`, the answer `said` with `probability`.

    `truth_probability` is that of its own class, None where that is not among the five most probable. `like_said` are
    the nearest images by code of the class it was taken for, `like_truth` those of its own, all answered rightly:
    the first show what it was taken for, the second what it should have been like.
    """

    id: int
    path: str
    name: str
    truth: str
    said: str
    probability: float
    truth_probability: float | None
    like_said: tuple[Neighbour, ...]
    like_truth: tuple[Neighbour, ...]

    @property
    def nearer(self) -> str | None:
        """Of which class the nearest of these is, "said" or "truth"; None where one has none."""
        if not (self.like_said and self.like_truth):
            return None
        return "said" if self.like_said[0].distance < self.like_truth[0].distance else "truth"


@dataclass(frozen=True)
class Mistakes(Pictured):
    """Of the `images` whose class is told and known to the network: `right` answers, and those among the `top` best.

    `confusions` are the pairs of classes, the most frequent first; `worst` the most confident errors; `classes` those
    that occur as truth or answer, and `matrix` `(classes, classes)` counts images by both. `compared` says whether
    neighbours were looked for.
    """

    images: int
    wrong: int
    accuracy: float
    top: int
    top_accuracy: float
    classes: tuple[str, ...]
    matrix: NDArray[np.int64] = field(repr=False, compare=False)
    confusions: tuple[Confusion, ...]
    worst: tuple[Mistake, ...]
    layer: str
    recipe: Recipe
    scan: "Scan" = field(repr=False, compare=False)
    compared: bool = True

    def picture(self, *, cell: int = CELL, limit: int = _ON_SHEET) -> Image.Image:
        """The classes against the answers where they are 30 or fewer, and a sheet of `limit` of the worst mistakes."""
        parts: list[Image.Image | None] = [title_strip(self._headline)]
        if len(self.classes) <= MATRIX_LIMIT:
            parts.append(_matrix_picture(self.matrix, self.classes))
        if self.worst:
            parts.append(self._sheet(cell, limit))
        return stack(*parts)

    @property
    def _headline(self) -> str:
        told = f"{self.accuracy:.1%} right of {self.images:,}"
        return told + (f", {self.top_accuracy:.1%} among the first {self.top}" if self.top > 1 else "")

    def _sheet(self, cell: int, limit: int) -> Image.Image:
        shown = self.worst[:limit]
        notes = [title_strip(line, size=LABEL_SIZE, colour=QUIET_INK) for line in self._notes(shown)]
        cards = flowed([self._card(each, cell) for each in shown], gap=_BETWEEN)
        sheet = stack(title_strip("Most confident mistakes"), *notes, cards)
        return sheet.crop((MARGIN, MARGIN, sheet.width - MARGIN, sheet.height - MARGIN))

    def _card(self, mistake: Mistake, cell: int) -> Image.Image:
        """A mistaken picture, and beside it those that it is like."""
        own = [f"said {mistake.said}", f"is {mistake.truth}", f"{mistake.probability:.1%}"]
        tiles = [tile(picture_of(self.scan, mistake.id), cell, own)]
        for each in (*mistake.like_said, *mistake.like_truth):
            told = [each.label or each.name, f"{number(each.distance)} away", ""]
            tiles.append(tile(picture_of(self.scan, each.id), cell, told))
        return lay_out(tiles, columns=len(tiles))

    def _notes(self, shown: Sequence[Mistake]) -> Iterator[str]:
        """What to know of the sheet, in lines that fit on it."""
        lonely = sum(not (each.like_said or each.like_truth) for each in shown)
        if lonely < len(shown):
            yield "beside each the nearest that were answered rightly, of the class said and of its own,"
            yield f"by codes of {self.layer}"
        if lonely and self.compared:
            alone = "all stand" if lonely == len(shown) else "one stands" if lonely == 1 else f"{lonely} stand"
            yield f"{alone} alone: no picture of either class was answered rightly"

    def to_json(self) -> str:
        """All but the pictures, for other programs."""
        whole: dict[str, Any] = {
            "images": self.images,
            "wrong": self.wrong,
            "accuracy": self.accuracy,
            f"top_{self.top}_accuracy": self.top_accuracy,
            "confusions": [asdict(each) for each in self.confusions],
            "mistakes": [{**asdict(each), "nearer": each.nearer} for each in self.worst],
            "layer": self.layer,
        }
        return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self._headline + (f"; {self.wrong:,} wrong" if self.wrong else "; none wrong")
        if not self.wrong:
            return
        width = max(len(str(self.confusions[0].count)), 5)
        yield ""
        yield f"{'times':>{width}}  class → taken for"
        for each in self.confusions[:10]:
            yield f"{each.count:>{width}}  {each.truth} → {each.said}" + (
                f" (of {each.images})" if each.images > 1 else ""
            )
        if len(self.confusions) > 10:
            yield f"{'':>{width}}  … {len(self.confusions) - 10:,} more"
        yield ""
        yield "Most confident mistakes, with the nearest of either class that was answered rightly:"
        for one in self.worst:
            yield f"  {one.probability:6.1%}  {one.path}"
            yield f"          is {one.truth}, said {one.said}{_compared(one)}"


def mistakes(scan: "Scan", *, limit: int = 24, neighbours: int = 3) -> Mistakes:
    """Where the network's answers are not the labels of a scan.

    Each of the `limit` most confident errors comes with `neighbours` images, the nearest by codes that were answered
    rightly, of the class it was taken for and of its own. Where the first look the same as it, the label may be wrong
    or the classes may overlap; where it is nearer to its own class, the last layer drew the line between them badly;
    where it is like neither, the network has seen nothing of its kind. Codes are those of the last scanned layer
    before the logits, compared by cosine.

    Raises ConvscopeError where no image has a label that the network knows.
    """
    if limit < 0 or neighbours < 0:
        raise ConvscopeError(f"got limit={limit}, neighbours={neighbours}, expected numbers of 0 or more")
    images = scan.images
    known = _known(scan)
    truth, answers = images.classes[known], images.answers[known]
    right = answers[:, 0] == truth
    wrong = known[~right]
    confidence = images.probabilities[wrong, 0]
    order = wrong[np.lexsort((wrong, -confidence))][:limit]
    resemblances = _Resemblances(scan, default_layer(scan), known[right], neighbours)
    occurring = np.unique(np.concatenate([truth, answers[:, 0]]))
    matrix = np.zeros((len(occurring), len(occurring)), np.int64)
    np.add.at(matrix, (np.searchsorted(occurring, truth), np.searchsorted(occurring, answers[:, 0])), 1)
    return Mistakes(
        images=len(known),
        wrong=len(wrong),
        accuracy=float(right.mean()),
        top=answers.shape[1],
        top_accuracy=float((answers == truth[:, None]).any(axis=1).mean()),
        classes=tuple(class_name(scan, int(each)) for each in occurring),
        matrix=matrix,
        confusions=_confusions(scan, truth, answers[:, 0]),
        worst=tuple(_mistake(scan, int(row), resemblances) for row in order),
        layer=resemblances.layer,
        recipe=scan.recipe("mistakes", {"limit": limit, "neighbours": neighbours}),
        scan=scan,
        compared=neighbours > 0,
    )


def _known(scan: "Scan") -> NDArray[np.int64]:
    """Rows whose class is known. Raises ConvscopeError if there are none."""
    images = scan.images
    if images.answers.shape[1] == 0:
        raise ConvscopeError(f"{scan.header.network!r} has no classes, so it can't be mistaken about any")
    found = np.flatnonzero(images.classes >= 0)
    if not len(found):
        labels = sorted({each for each in images.labels if each is not None})
        got = f"labels such as {labels[0]!r}, which the network doesn't know" if labels else "no labels"
        raise ConvscopeError(
            f"the pictures of the scan have {got}; expected the network's class names or numbers: name the folders "
            "after them, or put a list with the columns file and label beside the pictures, and scan again"
        )
    return found


def _confusions(scan: "Scan", truth: NDArray[np.int64], said: NDArray[np.int32]) -> tuple[Confusion, ...]:
    of_class = Counter(truth.tolist())
    pairs = Counter((a, b) for a, b in zip(truth.tolist(), said.tolist(), strict=True) if a != b)
    ordered = sorted(pairs.items(), key=lambda each: (-each[1], each[0]))
    return tuple(Confusion(class_name(scan, a), class_name(scan, b), count, of_class[a]) for (a, b), count in ordered)


def _mistake(scan: "Scan", row: int, resemblances: "_Resemblances") -> Mistake:
    images = scan.images
    truth, said = int(images.classes[row]), int(images.answers[row, 0])
    own = np.flatnonzero(images.answers[row] == truth)
    id = int(images.ids[row])
    return Mistake(
        id=id,
        path=scan.where(id),
        name=images.names[row],
        truth=class_name(scan, truth),
        said=class_name(scan, said),
        probability=float(images.probabilities[row, 0]),
        truth_probability=float(images.probabilities[row, own[0]]) if len(own) else None,
        like_said=resemblances.of(row, said),
        like_truth=resemblances.of(row, truth),
    )


@dataclass(frozen=True)
class _Resemblances:
    """The nearest among images that were answered rightly, whose rows these are, class by class."""

    scan: "Scan"
    layer: str
    right: NDArray[np.int64]
    count: int

    def of(self, row: int, class_: int) -> tuple[Neighbour, ...]:
        images, codes = self.scan.images, self.scan.codes(self.layer)
        rows = self.right[images.classes[self.right] == class_]
        if not self.count or not len(rows):
            return ()
        distances, found = Search(codes[rows]).nearest(codes[row][None], self.count)
        name = class_name(self.scan, class_)
        return tuple(
            Neighbour(self.scan.where(int(images.ids[at])), far, name, int(images.ids[at]), images.names[at])
            for at, far in zip(rows[found[0]].tolist(), distances[0].tolist(), strict=True)
        )


def _compared(mistake: Mistake) -> str:
    told = [
        f"{name} at {number(found[0].distance)}"
        for name, found in ((mistake.said, mistake.like_said), (mistake.truth, mistake.like_truth))
        if found
    ]
    return f" ({', '.join(told)})" if told else ""


def _matrix_picture(matrix: NDArray[np.int64], classes: Sequence[str]) -> Image.Image:
    """Classes down, answers across: counts, shaded by their share of the class."""
    names = [f"{name}  {at}" for at, name in enumerate(classes)]
    left = min(_NAME_LIMIT, max(text.width(each, LABEL_SIZE) for each in names) + 8)
    line = text.line_height(LABEL_SIZE)
    top = 2 * line + 4
    side = max(_SQUARE, text.width(f"{matrix.max():,}", LABEL_SIZE) + 8)
    width = max(left + side * len(classes) + 1, 200)
    picture = Image.new("RGB", (width, top + side * len(classes) + 1), PAPER)
    text.write(picture, "classes down, answers across", at=(0, 0), size=LABEL_SIZE, colour=QUIET_INK)
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    fills = Scale(0.0, 1.0).paint(1 - shares)
    draw = ImageDraw.Draw(picture)
    for row, name in enumerate(names):
        y = top + row * side
        shown = text.shorten(name, left - 8, LABEL_SIZE)
        middle = (side - line) // 2
        text.write(picture, shown, at=(left - 6, y + middle), size=LABEL_SIZE, colour=QUIET_INK, align="right")
        at_top = left + row * side + side // 2
        text.write(picture, str(row), at=(at_top, top - line - 2), size=LABEL_SIZE, colour=QUIET_INK, align="centre")
        for column, count in enumerate(matrix[row].tolist()):
            x = left + column * side
            fill = tuple(fills[row, column].tolist()) if count else PAPER
            draw.rectangle((x, y, x + side - 1, y + side - 1), fill=fill, outline=text.LINE)
            if count:
                ink = INK if sum(fill) > 380 else PAPER
                text.write(
                    picture, f"{count:,}", at=(x + side // 2, y + middle), size=LABEL_SIZE, colour=ink, align="centre"
                )
    return picture
