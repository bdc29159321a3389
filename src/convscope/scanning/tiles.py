"""Tiles of patches: each photograph opened once, gradients taken by the batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.write import to_picture
from convscope.network.rules import Rule
from convscope.progress import Steps
from convscope.scanning.backprojection import Projector, Unit, projection_tile
from convscope.scanning.crops import Cut, View, crop, placement_of, worded

if TYPE_CHECKING:
    from convscope.scanning.stored import Scan

# More is slower: what backward passes keep no longer lies near the processor.
_BATCH = 4


@dataclass(frozen=True)
class Patch:
    """Where in which image a channel is strong.

    `image` is its id in the scan, `path` where it is; `value` the activation; `place` row and column in the
    layer's map; `box` what the unit sees, gates aside, in pixels of the picture as the file holds it, top, left, bottom
    and right, the last two exclusive. `removed` says that the picture is gone from the source, or is another now.
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
    steps: Steps | None = None,
) -> list[Tile]:
    """Tiles of patches of one layer, in their order, the longer side `cell` pixels.

    Each photograph is opened once and let go of; few are held prepared at a time. In the place of one that is gone,
    or is of another size than when it was scanned, stands a grey tile with its name.
    """
    work = _Work(scan, layer, View.of(scan.network, layer), patches, tuple(projections), smooth, cell)
    order = sorted(range(len(patches)), key=lambda index: patches[index].image)
    groups = [(image, list(found)) for image, found in groupby(order, key=lambda index: patches[index].image)]
    for image, members in groups:
        work.draw(image, members)
        if steps is not None:
            steps.done()
    work.project_waiting()
    return [Tile(work.photographs[index], work.projected[index]) for index in range(len(patches))]


def openings(patches: Iterable[Patch]) -> int:
    """How many photographs are opened to draw these patches."""
    return len({patch.image for patch in patches})


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

    @cached_property
    def projector(self) -> Projector:
        """What passes the layer's units back."""
        return Projector(self.scan.network, self.layer)

    def draw(self, image: int, members: Sequence[int]) -> None:
        """The tiles of one image's patches; its projections wait for a full batch."""
        opened = self._open(image)
        if opened is None:
            for index in members:
                self.photographs[index] = gone = self._gone(self.patches[index])
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
        for start in range(0, len(self.waiting), _BATCH):
            indices, images = zip(*self.waiting[start : start + _BATCH], strict=True)
            units = [Unit(self.patches[index].channel, self.patches[index].place) for index in indices]
            for rule in self.rules:
                gradients = self.projector(torch.stack(images), units, rule=rule, smooth=self.smooth)
                for index, unit, gradient in zip(indices, units, gradients, strict=True):
                    self.projected[index][rule] = projection_tile(gradient, self.view, unit.place, cell=self.cell)
        self.waiting.clear()

    def _open(self, image: int) -> Tensor | None:
        """The picture as it was scanned; None if it is gone, can't be read any more or has another size."""
        height, width = self.scan.images.sizes[self.scan.images.row(image)].tolist()
        try:
            opened = self.scan.open(image)
        except ImageError:
            return None
        return opened if opened.shape[-2:] == (height, width) else None

    def _gone(self, patch: Patch) -> Image.Image:
        """A tile of the right size that says whose place it keeps."""
        placement = placement_of(self.scan.network, self.view.input_size)
        size = Cut.of(self.view, patch.place, placement, cell=self.cell).size
        return worded(size, ("gone:", patch.path.rpartition("/")[2]))
