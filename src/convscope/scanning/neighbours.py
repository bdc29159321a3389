"""The pictures whose codes are nearest to that of an image, beside those whose pixels are (L11)."""

import os
from collections.abc import MutableMapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias, overload
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.errors import ConvscopeError, ImageError
from convscope.image.check import check_image
from convscope.image.provenance import recall
from convscope.image.recipe import Input, Recipe
from convscope.image.write import to_picture
from convscope.render.grid import fit, rows
from convscope.render.legend import captioned
from convscope.render.result import Pictured
from convscope.render.text import PAPER, number
from convscope.scanning.picture import thumbnail_of
from convscope.scanning.search import EXACT_ROWS, Metric, Search, approximate, check_metric, make_index
from convscope.scanning.selectivity import class_name
from convscope.scanning.work import THUMBNAIL

if TYPE_CHECKING:
    from lancedb.table import Table

    from convscope.scanning.header import ScannedLayer
    from convscope.scanning.stored import Scan

Asked: TypeAlias = Tensor | str | os.PathLike[str] | int

CELL = 112
"""Pixels of a tile's longer side, unless another number is asked for."""

# A code is the picture's own if it is so near, as a share of its length; and where the small copies differ by no more
# than these levels of 255 (root mean square), if it is still as near as that of a picture that was read smaller.
_SAME_CODE = 0.01
_SAME_LEVELS = 3.0
_ALIKE_CODE = 0.1
_SAME_LOOKED_AT = 16


@dataclass(frozen=True)
class Neighbour:
    """One picture of the scan: where it is, how far, its class if it is told, its id and name there."""

    path: str
    distance: float
    label: str | None
    id: int
    name: str


@dataclass(frozen=True)
class Neighbours(Pictured, Sequence[Neighbour]):
    """The nearest pictures of one image, nearest first, by the codes of `layer`; a sequence of them.

    `by_pixels` are the nearest by the 32×32 pixels alone, by |x − y| of levels in [0, 1]; None if not asked for.
    `same` names what was left out since it is the image itself.
    """

    asked: str
    layer: str
    metric: Metric
    nearest: tuple[Neighbour, ...]
    by_pixels: tuple[Neighbour, ...] | None
    same: tuple[str, ...]
    recipe: Recipe
    scan: "Scan" = field(repr=False, compare=False)
    image: Tensor | int = field(repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.nearest)

    @overload
    def __getitem__(self, at: int) -> Neighbour: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Neighbour, ...]: ...
    def __getitem__(self, at: int | slice) -> Neighbour | tuple[Neighbour, ...]:
        return self.nearest[at]

    def picture(self, *, cell: int = CELL) -> Image.Image:
        """The image, then a row of its neighbours by code, and one by pixels, with distances and labels."""
        shown = picture_of(self.scan, self.image) if isinstance(self.image, int) else to_picture(self.image)
        tiles = [tile(shown, cell, [self.asked, ""])]
        lines = [(f"codes of {self.layer}", tiles + [_neighbour_tile(self.scan, each, cell) for each in self.nearest])]
        if self.by_pixels is not None:
            small = _copied(_copy(self.scan, self.image))
            found = [_neighbour_tile(self.scan, each, cell) for each in self.by_pixels]
            lines.append((f"{THUMBNAIL}×{THUMBNAIL} pixels", [tile(small, cell, ["as compared", ""]), *found]))
        return rows(lines, title=f"{self.asked}: nearest of {len(self.scan):,} pictures", note=self._note)

    @property
    def _note(self) -> str:
        told = {"cosine": "cosine distance", "l2": "Euclidean distance"}[self.metric]
        note = f"{told} of codes" + ("" if self.by_pixels is None else ", Euclidean distance of pixels")
        return note + ("; the picture itself is left out" if self.same else "")

    def to_json(self) -> dict[str, object]:
        """All of it for other programs."""
        return {
            "image": self.asked,
            "layer": self.layer,
            "metric": self.metric,
            "neighbours": [asdict(each) for each in self.nearest],
            "by_pixels": None if self.by_pixels is None else [asdict(each) for each in self.by_pixels],
            "left_out": list(self.same),
        }

    def __str__(self) -> str:
        lines = [f"{self.asked}: by the codes of {self.layer}, {self.metric}", *map(_line, self.nearest)]
        if self.by_pixels is not None:
            lines += [f"by {THUMBNAIL}×{THUMBNAIL} pixels", *map(_line, self.by_pixels)]
        return "\n".join([*lines, *(f"left out, the same picture: {name}" for name in self.same)])


def neighbours(
    scan: "Scan",
    image: Asked | Sequence[Any],
    *,
    k: int = 6,
    layer: str | None = None,
    metric: Metric = "cosine",
    pixels: bool = True,
    exclude_itself: bool = True,
) -> Any:
    """Which pictures of a scan the network takes to be most like an image, and which are alike in their pixels.

    Krizhevsky et al. (2012, fig. 4) show that neighbours by the last layer's codes share their content where their
    pixels have nothing in common. Codes of up to 100,000 pictures are searched exactly; of more by an index, which
    finds at least nine of ten and is made at the first question. Pixels are always searched exactly, which takes
    3 kB of memory a picture.

    Parameters
    ----------
    image
        An image `(C, H, W)` in [0, 1] of any size, a picture file or a bundled photograph's name, or the id of a
        picture of the scan, and the answer is `Neighbours`. A batch `(N, C, H, W)` or a list gives a list of them.
    k
        How many.
    layer
        Any that was scanned; by default the last before the classes' logits.
    metric
        "cosine" or "l2", of codes.
    pixels
        Whether to look for neighbours by pixels, too.
    exclude_itself
        Whether to leave out the picture itself: that of the id, or those of the same pixels and code.

    Raises
    ------
    LayerError
        The layer was not scanned.
    ImageError
        A picture that can't be read, or a tensor that is no image.
    ConvscopeError
        There is no picture of that id, no such metric, or k is not positive.
    """
    if k < 1:
        raise ConvscopeError(f"got k={k}, expected how many neighbours, at least 1")
    chosen = scan.layer(layer if layer is not None else default_layer(scan))
    several = _several(image)
    if several is not None and not several:
        return []
    questions = [_Question.of(scan, each) for each in several or [image]]
    found = _Asking(scan, chosen, check_metric(metric), k, pixels, exclude_itself).answers(questions)
    return found[0] if several is None else found


def default_layer(scan: "Scan") -> str:
    """The last scanned layer that is not the classes' logits: the code that the lecture compares by."""
    names = list(scan.layers)
    codes = [name for name in names if scan.layers[name].shape != (scan.header.classes,)]
    return (codes or names)[-1]


def _several(image: Asked | Sequence[Any]) -> list[Any] | None:
    """The images of a batch or list; None where it is one."""
    if isinstance(image, Tensor):
        return list(image) if image.dim() == 4 else None
    return None if isinstance(image, (str, os.PathLike, int, np.integer)) else list(image)


@dataclass(frozen=True)
class _Question:
    """One image that is asked about: its name and row of the scan, or its pixels."""

    name: str
    image: Tensor | int
    row: int | None
    origin: Input | None

    @classmethod
    def of(cls, scan: "Scan", asked: object) -> "_Question":
        if isinstance(asked, (int, np.integer)) and not isinstance(asked, bool):
            row = scan.images.row(int(asked))
            return cls(scan.images.names[row], int(asked), row, None)
        if isinstance(asked, Tensor):
            check_image(asked)
            origin = recall(asked)
            return cls(origin.name or "the image", asked, None, origin)
        if isinstance(asked, (str, os.PathLike)):
            image = scan.network.open(os.fspath(asked))
            return cls(PurePath(asked).name, image, None, recall(image))
        raise ConvscopeError(f"got {asked!r}, expected an image, the path of a picture or the id of one of the scan")


@dataclass(frozen=True)
class _Asking:
    """What all questions of a call have in common."""

    scan: "Scan"
    layer: "ScannedLayer"
    metric: Metric
    k: int
    pixels: bool
    exclude_itself: bool

    def answers(self, questions: Sequence[_Question]) -> list[Neighbours]:
        """The neighbours of each."""
        codes = self._codes(questions)
        same = [self._same(*each) for each in zip(questions, codes, strict=True)]
        gone = np.flatnonzero(self.scan.images.removed).tolist()
        left_out = [(*each, *gone) for each in same]
        by_code = self._nearest(codes, left_out)
        by_pixels = self._nearest_by_pixels(questions, left_out) if self.pixels else None
        return [
            Neighbours(
                asked=question.name,
                layer=self.layer.name,
                metric=self.metric,
                nearest=by_code[at],
                by_pixels=None if by_pixels is None else by_pixels[at],
                same=tuple(self.scan.images.names[row] for row in same[at] if row != question.row),
                recipe=self._recipe(question),
                scan=self.scan,
                image=question.image,
            )
            for at, question in enumerate(questions)
        ]

    def _codes(self, questions: Sequence[_Question]) -> NDArray[np.float32]:
        """`(m, C)`: of pictures of the scan as they are stored, of others as they would be."""
        codes = np.empty((len(questions), self.layer.channels), np.float32)
        outside = [at for at, each in enumerate(questions) if each.row is None]
        for at, each in enumerate(questions):
            if each.row is not None:
                codes[at] = self._stored(np.array([each.row]))[0]
        if outside:
            images = [questions[at].image for at in outside]
            batch = torch.stack([self.scan.network.prepare(each) for each in images if isinstance(each, Tensor)])
            codes[outside] = self.scan.code_of(batch, self.layer.name)
        return codes

    def _same(self, question: _Question, code: NDArray[np.float32]) -> tuple[int, ...]:
        """Rows of the scan that are the picture itself: nearly the same code, or the same pixels and much the same."""
        if not self.exclude_itself:
            return ()
        if question.row is not None:
            return (question.row,)
        pixels = _copy(self.scan, question.image).reshape(-1)
        apart, rows = _search(self.scan, None, "l2").nearest(pixels[None], _SAME_LOOKED_AT)
        alike = set(rows[0][apart[0] <= _SAME_LEVELS * pixels.size**0.5].tolist())
        near = self._by_code(code[None], _SAME_LOOKED_AT)[1][0]
        candidates = np.array(sorted({*near.tolist(), *alike}), np.int64)
        off = np.linalg.norm(self._stored(candidates) - code, axis=1) / max(float(np.linalg.norm(code)), 1e-12)
        limits = [_ALIKE_CODE if row in alike else _SAME_CODE for row in candidates.tolist()]
        return tuple(candidates[off <= limits].tolist())

    def _stored(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Codes `(m, C)` of the scan."""
        if not self._by_index:
            return self.scan.codes(self.layer.name)[rows].astype(np.float32)
        table, column = _table(self.scan, self.layer)
        ids = self.scan.images.ids[rows]
        wanted = ", ".join(map(str, ids.tolist()))
        found = table.search().where(f"id IN ({wanted})").select(["id", column]).to_arrow().sort_by("id")
        codes = np.asarray(found[column].combine_chunks().flatten(), np.float32).reshape(-1, self.layer.channels)
        return codes[np.searchsorted(np.sort(ids), ids)]

    @property
    def _by_index(self) -> bool:
        return len(self.scan) > EXACT_ROWS

    def _by_code(self, codes: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if not self._by_index:
            return _search(self.scan, self.layer.name, self.metric).nearest(codes, k)
        table, column = _table(self.scan, self.layer)
        make_index(table, column, self.metric)
        distances, ids = approximate(table, column, codes, k, self.metric, where="reason IS NULL")
        return distances, np.searchsorted(self.scan.images.ids, ids)

    def _nearest(self, codes: NDArray[np.float32], same: Sequence[tuple[int, ...]]) -> list[tuple[Neighbour, ...]]:
        return self._told(*self._by_code(codes, self.k + max(map(len, same))), same)

    def _nearest_by_pixels(
        self, questions: Sequence[_Question], same: Sequence[tuple[int, ...]]
    ) -> list[tuple[Neighbour, ...]]:
        pixels = np.stack([_copy(self.scan, each.image).reshape(-1) for each in questions])
        distances, rows = _search(self.scan, None, "l2").nearest(pixels, self.k + max(map(len, same)))
        return self._told(distances / np.float32(255), rows, same)

    def _told(
        self, distances: NDArray[np.float32], rows: NDArray[np.int64], same: Sequence[tuple[int, ...]]
    ) -> list[tuple[Neighbour, ...]]:
        return [
            tuple(self._neighbour(row, far) for row, far in zip(*each, strict=True) if row not in left_out)[: self.k]
            for *each, left_out in zip(rows.tolist(), distances.tolist(), same, strict=True)
        ]

    def _neighbour(self, row: int, distance: float) -> Neighbour:
        images = self.scan.images
        id, name = int(images.ids[row]), images.names[row]
        class_, label = int(images.classes[row]), images.labels[row]
        if label is None and class_ >= 0:
            label = class_name(self.scan, class_)
        return Neighbour(self.scan.where(id), distance, label, id, name)

    def _recipe(self, question: _Question) -> Recipe:
        parameters = {
            "image": question.image if isinstance(question.image, int) else None, "k": self.k, "layer": self.layer.name,
            "metric": self.metric, "pixels": self.pixels, "exclude_itself": self.exclude_itself,
        }  # fmt: skip
        made = self.scan.recipe("neighbours", parameters)
        return made if question.origin is None else replace(made, inputs=(question.origin,))


_searches: MutableMapping["Scan", dict[tuple[str | None, Metric], Search]] = WeakKeyDictionary()


def _search(scan: "Scan", layer: str | None, metric: Metric) -> Search:
    """The search in a layer's codes, or in pixels, which grows faster with use: kept as long as the scan is."""
    kept = _searches.setdefault(scan, {})
    if (layer, metric) not in kept:
        kept[layer, metric] = Search(scan.pixels() if layer is None else scan.codes(layer), metric)
    return kept[layer, metric]


def _table(scan: "Scan", layer: "ScannedLayer") -> tuple["Table", str]:
    """The LanceDB table that holds a layer's codes, and the column."""
    return scan.table(layer.number), scan.column(layer)


def picture_of(scan: "Scan", id: int) -> Image.Image:
    """A picture of the scan as it is shown: from the source, or where that has it no more, its 32×32 pixels."""
    try:
        return to_picture(scan.open(id))
    except ImageError:
        return _copied(_copy(scan, id))


def _copy(scan: "Scan", image: Tensor | int) -> NDArray[np.uint8]:
    """The small copy `(3, 32, 32)` of an image, levels 0 … 255; that of an id as the scan keeps it."""
    if isinstance(image, Tensor):
        return np.asarray(thumbnail_of(image, THUMBNAIL))
    copy: NDArray[np.uint8] = _search(scan, None, "l2").codes[scan.images.row(image)]
    return copy.reshape(3, THUMBNAIL, THUMBNAIL)


def _copied(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def tile(picture: Image.Image, cell: int, lines: Sequence[str]) -> Image.Image:
    """A picture in the middle of a square of side `cell`, with lines of text below."""
    square = Image.new("RGB", (cell, cell), PAPER)
    fitted = fit(picture, cell)
    square.paste(fitted, ((cell - fitted.width) // 2, (cell - fitted.height) // 2))
    return captioned(square, lines)


def _neighbour_tile(scan: "Scan", neighbour: Neighbour, cell: int) -> Image.Image:
    told = neighbour.label if neighbour.label is not None else neighbour.name
    return tile(picture_of(scan, neighbour.id), cell, [number(neighbour.distance), told])


def _line(neighbour: Neighbour) -> str:
    return f"  {neighbour.distance:8.4f}  {neighbour.path}" + (f"  {neighbour.label}" if neighbour.label else "")
