"""Maps: the pictures of a scan laid out in a plane, those with like codes near each other."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.errors import ConvscopeError, LayerError, nearest
from convscope.image.recipe import Recipe
from convscope.progress import Watcher
from convscope.render.legend import with_legend
from convscope.render.result import Pictured
from convscope.scanning.class_colours import Classes, classes, legend
from convscope.scanning.deep_zoom import Format, write_deep_zoom
from convscope.scanning.layout import grid_cells
from convscope.scanning.map_picture import (
    Mark,
    Scene,
    dot_side,
    dotted,
    gridded,
    picture_side,
    scattered,
    scattered_size,
    write_marks,
    write_names,
)
from convscope.scanning.projection import FITTED, Method, Positions, Projection, project
from convscope.scanning.thumbnails import Dots, Thumbnails

if TYPE_CHECKING:
    from convscope.scanning.stored import Scan

Layout = Literal["scatter", "grid"]
Coloured = Literal["label", "prediction"]


@dataclass(frozen=True)
class Map(Pictured):
    """Where the pictures of a scan came to lie.

    `positions` `(n, 2)` float32 are across and down, in [0, 1], distances on the same scale both ways; `ids` `(n,)`
    are the pictures' in the scan. Of a grid, `cells` `(n, 2)` are (row, column), none twice. `classes` are those by
    which it is coloured, None where it isn't.
    """

    scan: "Scan" = field(repr=False)
    layer: str
    method: Method
    ids: NDArray[np.int64] = field(repr=False)
    positions: Positions = field(repr=False)
    cells: NDArray[np.int64] | None = field(repr=False)
    classes: Classes | None = field(repr=False)
    recipe: Recipe
    _projection: Projection = field(repr=False)
    _frame: "_Frame" = field(repr=False)

    def place(self, images: Tensor | Sequence[Tensor]) -> Positions:
        """Where other images come to lie by their codes, in [0, 1]: `(2,)` for one `(C, H, W)`, `(m, 2)` for more.

        A batch `(m, C, H, W)`, or a list of images of any size. One that is like none of the map's lies among those
        that it is least unlike; beyond the edge it is drawn at the edge.
        """
        if isinstance(images, Tensor):
            codes = self.scan.code_of(images, self.layer)
        else:
            if not len(images):
                return np.zeros((0, 2), dtype=np.float32)
            codes = np.stack([self.scan.code_of(each, self.layer) for each in images])
        found = self._frame.framed(self._projection.place(np.atleast_2d(codes)))
        return found[0] if codes.ndim == 1 else found

    def picture(self, *, size: int = 2048, dots: bool = False, marks: Sequence[Mark] = ()) -> Image.Image:
        """The map, its longer side `size` pixels or a little less, and a legend below it where it is coloured.

        `dots` draws a dot for each picture, with the names of the classes where most of them are, instead of the
        picture itself. `marks` are places to point out, (x, y, name) each. Where pictures lie so thick that some
        would hardly be seen, those are left out.
        """
        if size < 64:
            raise ConvscopeError(f"a map of {size} pixels; expected 64 or more")
        scene = self._dots(size) if dots else self._pictures(size=size)
        sheet = scene.draw()
        if dots and self.classes is not None:
            write_names(sheet, self._names(scene))
        write_marks(sheet, scene, marks)
        return sheet if self.classes is None else with_legend(sheet, legend(self.classes.entries, sheet.width))

    def tiles(
        self,
        folder: str | PathLike[str],
        *,
        side: int = 128,
        format: Format = "jpeg",
        progress: Watcher | None = None,
    ) -> None:
        """Write the map with pictures of `side` pixels to a folder, as a page to zoom into.

        `index.html` shows it in a browser, from the disk or a server; `map.dzi` and `map_files` are a Deep Zoom image
        (256-pixel tiles that overlap by one) as other viewers read it. It is drawn strip by strip, in memory that
        doesn't depend on its height. Raises ImageError where it can't be written, or the folder holds something else;
        Cancelled where `progress`, called after each strip, returned False: then nothing is written.
        """
        if side < 8:
            raise ConvscopeError(f"pictures of {side} pixels; expected 8 or more")
        scene = self._pictures(side=side)
        names = [self.scan.images.names[self.scan.images.row(int(id))] for id in self.ids[scene.rows]]
        groups = [-1] * len(names) if self.classes is None else self.classes.of[scene.rows].tolist()
        squares = list(zip(scene.left.tolist(), scene.top.tolist(), names, groups, strict=True))
        entries = [] if self.classes is None else self.classes.entries
        title = f"{len(self.ids):,} pictures by {self.method} of {self.layer}"
        write_deep_zoom(
            folder,
            (scene.width, scene.height),
            scene.draw,
            title=title,
            squares=squares,
            side=side,
            legend=entries,
            format=format,
            progress=progress,
        )

    def to_json(self, *, marks: Sequence[Mark] = ()) -> str:
        """Ids, names, labels, positions, and cells of a grid, and marks as in the picture, for another program."""
        images = self.scan.images
        rows = [images.row(int(id)) for id in self.ids]
        told: list[dict[str, Any]] = [
            {"id": int(id), "name": images.names[row], "label": _label(self.scan, row), "position": place}
            for id, row, place in zip(self.ids, rows, self.positions.astype(float).round(6).tolist(), strict=True)
        ]
        for each, cell in zip(told, [] if self.cells is None else self.cells.tolist(), strict=False):
            each["cell"] = cell
        marked = [{"name": name, "position": [x, y]} for x, y, name in marks]
        whole = {"layer": self.layer, "method": self.method, "images": told, "marks": marked}
        return json.dumps(whole, ensure_ascii=False)

    def _dots(self, size: int) -> Scene:
        side = dot_side(len(self.ids), size)
        return dotted(self._places, size, side, Dots(side, self.classes), seed=0)

    def _pictures(self, *, size: int | None = None, side: int | None = None) -> Scene:
        """Pictures on a sheet of a size, or of a size of their own."""
        count = len(self.ids)
        if self.cells is not None:
            across = int(self.cells.max()) + 1
            side = side or max(4, (size or 0) // across)
            return gridded(self.cells, side, Thumbnails(self.scan, self.ids, side, self.classes))
        side = side or picture_side(self.positions, size or 0)
        square = Thumbnails(self.scan, self.ids, side, self.classes)
        return scattered(self.positions, size or scattered_size(count, side), side, square)

    @property
    def _places(self) -> NDArray[Any]:
        """Where dots are: in the middle of their cells, if there are any."""
        if self.cells is None:
            return self.positions
        return (self.cells[:, ::-1] + 0.5) / (int(self.cells.max()) + 1)

    def _names(self, scene: Scene) -> list[tuple[str, tuple[int, int]]]:
        """The name of each class, where the image is that is nearest to the middle of all of its class."""
        assert self.classes is not None
        found = []
        for index in np.argsort(self.classes.counts, kind="stable")[::-1].tolist():
            own = self._places[self.classes.of == index]
            away = np.abs(own - np.median(own, axis=0)).sum(axis=1)
            found.append((self.classes.names[index], scene.spot(own[away.argmin()])))
        return found


@dataclass(frozen=True)
class _Frame:
    """What brings a projection into the unit square: `low` (2,) becomes 0, and lengths become `scale` as long."""

    low: NDArray[np.float64]
    scale: float

    @classmethod
    def around(cls, positions: Positions) -> "_Frame":
        """That of what spans these positions (n, 2), its middle in the middle."""
        low, high = positions.min(axis=0).astype(np.float64), positions.max(axis=0).astype(np.float64)
        span = float((high - low).max()) or 1.0
        return cls((low + high) / 2 - span / 2, 1 / span)

    def framed(self, positions: Positions) -> Positions:
        """Positions in [0, 1]; those outside at the edge."""
        return np.clip((positions - self.low) * self.scale, 0, 1).astype(np.float32)


def map_of(
    scan: "Scan",
    *,
    method: Method = "t-sne",
    layer: str | None = None,
    layout: Layout = "scatter",
    colour: Coloured | None = "label",
    limit: int = FITTED,
    seed: int = 0,
    perplexity: float = 30,
    progress: Watcher | None = None,
) -> Map:
    """Lay the pictures of a scan out in a plane by their codes: like ones lie near each other.

    See `convscope.scanning.projection.project` for the ways to do so, and `grid_cells` for grids. Codes are compared
    by their angle. Pictures whose file is gone are left out.

    Parameters
    ----------
    method
        "t-sne", "umap" or "pca".
    layer
        Whose codes; by default the last that was scanned.
    layout
        "scatter": each picture at its place, some over others. "grid": each in a cell of its own.
    colour
        By "label", as the source tells it, by the network's "prediction", or not at all. A scan without labels isn't
        coloured by them, nor one of many labels a picture each.
    limit
        Pictures by which the plane is laid out at most, drawn by the seed; the others are placed among them.
    perplexity
        About how many neighbours matter to a picture.

    Raises
    ------
    LayerError
        The layer wasn't scanned, or its codes are not finite.
    ConvscopeError
        There is no picture; an unknown method, layout or colour; colours by the prediction of a network without
        classes; a perplexity or limit below 1.
    MissingExtra
        openTSNE (extra `scan`), or umap-learn (extra `umap`), isn't there.
    Cancelled
        `progress`, called as the layout goes on, returned False.
    """
    _check(layout, colour)
    name = _layer(scan, layer)
    rows = np.flatnonzero(~scan.images.removed)
    if not len(rows):
        raise ConvscopeError("the scan has no picture that is still there; expected one at least")
    colours = _classes(scan, rows, colour)
    codes = scan.codes(name)
    codes = codes if len(rows) == len(codes) else codes[rows]
    projection = project(codes, method=method, perplexity=perplexity, limit=limit, seed=seed, progress=progress)
    frame = _Frame.around(projection.positions)
    positions = frame.framed(projection.positions)
    cells = grid_cells(positions, progress=progress) if layout == "grid" else None
    parameters = {
        "method": method, "layer": name, "layout": layout, "colour": colour, "limit": limit, "perplexity": perplexity,
    }  # fmt: skip
    recipe = scan.recipe("map", parameters, seed=seed)
    return Map(scan, name, method, scan.images.ids[rows], positions, cells, colours, recipe, projection, frame)


def _check(layout: str, colour: str | None) -> None:
    for name, value, known in (("layout", layout, get_args(Layout)), ("colour", colour, get_args(Coloured))):
        if value is not None and value not in known:
            raise ConvscopeError(f"unknown {name} {value!r}; {nearest(value, known)}")


def _layer(scan: "Scan", layer: str | None) -> str:
    if layer is not None:
        return scan.layer(layer).name
    if not scan.layers:
        raise LayerError("the scan has no layer; expected one at least")
    return list(scan.layers)[-1]


def _classes(scan: "Scan", rows: NDArray[np.int64], colour: Coloured | None) -> Classes | None:
    images = scan.images
    if colour is None:
        return None
    if colour == "label":
        found = classes([_label(scan, int(row)) for row in rows])
        return found if found.names else None
    if not images.answers.shape[1]:
        raise ConvscopeError("the network has no classes to colour by; expected colour='label' or None")
    first = images.answers[rows, 0].tolist()
    return classes([_class_name(scan, index) for index in first])


def _label(scan: "Scan", row: int) -> str | None:
    """What the source calls a picture; where it tells but a number, what the network calls that class."""
    label, index = scan.images.labels[row], int(scan.images.classes[row])
    return label if label is not None or index < 0 else _class_name(scan, index)


def _class_name(scan: "Scan", index: int) -> str:
    return scan.labels[index] if scan.labels else f"class:{index}"
