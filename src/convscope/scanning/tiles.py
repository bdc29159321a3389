"""Tiles of patches: each photograph opened once, gradients taken by the batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.resize import Placement
from convscope.image.write import to_picture
from convscope.network.rules import Rule
from convscope.progress import Steps, Watcher
from convscope.render import text
from convscope.scanning.crops import UNSEEN, View, crop, placement_of
from convscope.scanning.projections import Unit, project, projection_picture

if TYPE_CHECKING:
    from convscope.scanning.stored import Scan

_BATCH = 16
_LETTERS = 11


@dataclass(frozen=True)
class Patch:
    """Where in which image a channel is strong.

    `image` is its id in the scan and `path` its name there; `value` the activation; `place` row and column in the
    layer's map; `box` what the unit sees in pixels of the picture as the file holds it, as top, left, bottom, right,
    the last two exclusive. `removed` says that the picture is gone from the source, or is another now.
    """

    channel: int
    image: int
    path: str
    value: float
    place: tuple[int, int]
    box: tuple[int, int, int, int]
    removed: bool = False


@dataclass(frozen=True)
class Tile:
    """A patch as a picture, and its projections by rule; all of one size."""

    photograph: Image.Image
    projections: Mapping[Rule, Image.Image]


def draw_tiles(
    scan: "Scan",
    layer: str,
    patches: Sequence[Patch],
    *,
    projections: Sequence[Rule] = (),
    smooth: str | None = None,
    cell: int,
    progress: Watcher | None = None,
) -> list[Tile]:
    """Tiles of patches of one layer, in their order, the longer side `cell` pixels.

    Each photograph is opened once and let go of; at most 16 prepared images are held. In the place of one that is gone,
    or is of another size than when it was scanned, stands a grey tile with its name.
    """
    work = _Work(scan, layer, View.of(scan.network, layer), patches, tuple(projections), smooth, cell)
    order = sorted(range(len(patches)), key=lambda index: patches[index].image)
    groups = [(image, list(found)) for image, found in groupby(order, key=lambda index: patches[index].image)]
    steps = Steps(len(groups), progress)
    for image, members in groups:
        work.draw(image, members)
        steps.done()
    work.project_waiting()
    return [Tile(work.photographs[index], work.projected[index]) for index in range(len(patches))]


@dataclass
class _Work:
    scan: "Scan"
    layer: str
    view: View
    patches: Sequence[Patch]
    rules: tuple[Rule, ...]
    smooth: str | None
    cell: int
    photographs: dict[int, Image.Image] = field(default_factory=dict)
    projected: dict[int, dict[Rule, Image.Image]] = field(default_factory=dict)
    waiting: list[tuple[int, Tensor]] = field(default_factory=list)

    def draw(self, image: int, members: Sequence[int]) -> None:
        """The tiles of one image's patches; its projections wait for a full batch."""
        opened = self._open(image)
        if opened is None:
            for index in members:
                gone = self._gone(self.patches[index])
                self.photographs[index] = gone
                self.projected[index] = dict.fromkeys(self.rules, gone)
            return
        picture, size = to_picture(opened), (opened.shape[-2], opened.shape[-1])
        placement = placement_of(self.scan.network, size)
        for index in members:
            self.photographs[index] = crop(picture, placement, self.view, self.patches[index].place, cell=self.cell)
            self.projected[index] = {}
        if self.rules:
            prepared = self.scan.network.prepare(opened)
            self.waiting += [(index, prepared) for index in members]
            if len(self.waiting) >= _BATCH:
                self.project_waiting()

    def project_waiting(self) -> None:
        """The projections of all that wait."""
        whole = Placement(self.view.input_size, self.view.input_size, (0, 0))
        for start in range(0, len(self.waiting), _BATCH):
            indices, images = zip(*self.waiting[start : start + _BATCH], strict=True)
            units = [Unit(self.patches[index].channel, self.patches[index].place) for index in indices]
            for rule in self.rules:
                network, batch = self.scan.network, torch.stack(images)
                gradients = project(network, batch, self.layer, units, rule=rule, smooth=self.smooth)
                for index, unit, gradient in zip(indices, units, gradients, strict=True):
                    drawn = projection_picture(gradient, self.view.seen(*unit.place))
                    self.projected[index][rule] = crop(drawn, whole, self.view, unit.place, cell=self.cell)
        self.waiting.clear()

    def _open(self, image: int) -> Tensor | None:
        """The picture as it was scanned; None if it is gone, can't be read any more or has another size."""
        row = row_of(self.scan, image)
        if self.scan.images.removed[row]:
            return None
        try:
            opened = self.scan.open(image)
        except ImageError:
            return None
        return opened if tuple(opened.shape[-2:]) == tuple(self.scan.images.sizes[row].tolist()) else None

    def _gone(self, patch: Patch) -> Image.Image:
        top, left, bottom, right = self.view.span(*patch.place)
        longer = max(bottom - top, right - left)
        size = round((right - left) * self.cell / longer), round((bottom - top) * self.cell / longer)
        tile = Image.new("RGB", (max(1, size[0]), max(1, size[1])), UNSEEN)
        height = text.line_height(_LETTERS)
        for line, words in enumerate(("gone:", patch.path.rpartition("/")[2])):
            shown = text.shorten(words, tile.width - 4, _LETTERS)
            text.write(tile, shown, at=(2, 2 + line * height), size=_LETTERS, colour=text.QUIET_INK)
        return tile


def row_of(scan: "Scan", image: int) -> int:
    """The row of an image's id in the columns of `scan.images`."""
    return int(scan.images.ids.searchsorted(image))
