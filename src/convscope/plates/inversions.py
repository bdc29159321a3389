"""What layers have kept of a photograph, from shallow to deep (L35), and whether it can be told by that (L34)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError, LayerError, Stopped
from convscope.image.recipe import JSON, Recipe
from convscope.image.write import to_picture
from convscope.network.network import Network
from convscope.network.stages import stage_ends
from convscope.progress import Watcher, part_of
from convscope.render.curves import Curve, curves
from convscope.render.grid import fit, grid, rows, stack
from convscope.render.legend import captioned
from convscope.render.result import Pictured
from convscope.synthesis.invert import Inversion, deepest, invert


@dataclass(frozen=True)
class Inversions(Pictured):
    """Inversions of one `image` `(C, H, W)`, one for each of the `layers`, from shallow to deep."""

    image: Tensor
    layers: tuple[str, ...]
    inversions: tuple[Inversion, ...]
    recipe: Recipe

    @property
    def code_errors(self) -> Tensor:
        """Of the first image of each layer, `(L,)`."""
        return torch.stack([each.code_errors[0] for each in self.inversions])

    @property
    def correlations(self) -> Tensor:
        """With the photograph, of the first image of each layer, `(L,)`."""
        return torch.stack([each.correlations[0] for each in self.inversions])

    def picture(self, *, cell: int | None = None, columns: int | None = None) -> Image.Image:
        """The photograph and what is left of it at each layer; below, both measures over depth.

        `cell` is the side of the square that each picture is fitted into.
        """
        shown = [
            fit(each, cell) for each in (to_picture(self.image), *(one.picture(which=0) for one in self.inversions))
        ]
        told = [["photograph", "", ""], *([one.layer, *one.caption.split(", ")] for one in self.inversions)]
        pictures = grid([captioned(*both) for both in zip(shown, told, strict=True)], columns=columns)
        return stack(pictures, self._curves(pictures.width - 16))

    def _curves(self, width: int) -> Image.Image:
        depth = list(range(len(self.layers)))
        lines = [
            Curve("relative error of the code", depth, self.code_errors),
            Curve("correlation with the photograph", depth, self.correlations),
        ]
        ticks = [(float(place), name) for place, name in enumerate(self.layers)]
        low = min(0.0, *self.correlations.nan_to_num().tolist()) - 0.05
        high = max(1.0, *self.code_errors.tolist()) + 0.05
        room = (-0.5, len(depth) - 0.5)
        return curves(lines, x_range=room, y_range=(low, high), x_ticks=ticks, size=(220, max(320, width)))


def inversions(
    network: Network,
    image: Tensor,
    layers: Sequence[str] | None = None,
    *,
    preset: str | None = None,
    regularizers: Any = None,
    steps: int | None = None,
    seed: int = 0,
    progress: Watcher | None = None,
) -> Inversions:
    """A photograph back from each of several layers, to see what is lost where.

    Parameters
    ----------
    image
        `(C, H, W)` in [0, 1].
    layers
        By default the ends of the network's stages and the vector that its classifier reads.
    preset, regularizers, steps, seed
        As for `invert`.
    progress
        Called after each step of each, with the images as they are.

    Raises
    ------
    Stopped
        As `invert` does; `so_far` is the plate of the layers that were done.

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> inversions(net, net.read("chelsea"), ["blocks.0", "blocks.2"], steps=2).correlations.shape
    torch.Size([2])
    """
    names = stage_ends(network) if layers is None else list(layers)
    if not names:
        raise LayerError(f"no layers to invert of {network.name}; name one at least")
    told: dict[str, JSON] = {"layers": names, "preset": preset, "regularizers": regularizers, "steps": steps}
    done: list[Inversion] = []

    def result() -> Inversions:
        recipe = network.recipe("inversions", told, images=[image], seed=seed)
        return Inversions(image, tuple(names[: len(done)]), tuple(done), recipe)

    for index, name in enumerate(names):
        watched = part_of(progress, index, len(names))
        try:
            done.append(
                invert(
                    network, image, name, preset=preset, regularizers=regularizers, steps=steps, seed=seed,
                    progress=watched,
                )
            )  # fmt: skip
        except Stopped as stopped:
            stopped.so_far = result() if done else stopped.so_far
            raise
    return result()


@dataclass(frozen=True)
class Identified(Pictured):
    """Which of `photographs` `(N, C, H, W)` each reconstruction, made from its code alone, is nearest to.

    `nearest` `(N,)` holds that number for each judge: "pixels", and names of networks with their layers. `rates` are
    the shares that were told rightly; by chance it were 1 / N.
    """

    photographs: Tensor
    reconstructions: Tensor
    layer: str
    nearest: Mapping[str, Tensor]
    recipe: Recipe

    @property
    def rates(self) -> dict[str, float]:
        """How often each judge picked out the original."""
        right = torch.arange(len(self.photographs))
        return {judge: float((found == right).float().mean()) for judge, found in self.nearest.items()}

    def picture(self, *, cell: int | None = 112) -> Image.Image:
        """Photographs above their reconstructions, each with the number of the photograph that each judge picked."""
        above = [captioned(to_picture(each), [f"{number}"]) for number, each in enumerate(self.photographs)]
        below = [to_picture(each) for each in self.reconstructions]
        table: list[tuple[str, list[Image.Image]]] = [("photograph", above), (f"from {self.layer}", below)]
        told = [
            f"{judge} picked {', '.join(map(str, found.tolist()))}: {self.rates[judge]:.0%} right"
            for judge, found in self.nearest.items()
        ]
        return rows(table, note="\n".join([*told, f"by chance: {1 / len(above):.0%}"]), cell=cell)


def identified(
    network: Network,
    photographs: Sequence[Tensor],
    layer: str | None = None,
    *,
    judge: Network | None = None,
    judge_layer: str | None = None,
    preset: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    progress: Watcher | None = None,
) -> Identified:
    """Does a code give away which photograph it is of? Pick the one that its reconstruction is nearest to.

    Nearest in pixels, by the root of the mean squared difference, and in a code, by the cosine of the vectors that
    remain when maps are averaged over places.

    Parameters
    ----------
    photographs
        At least two `(C, H, W)` in [0, 1], all of one size.
    layer
        Whose code is given away; by default as for `invert`.
    judge, judge_layer
        The network that tells, and by which code. By default this one, by the code given away: then it only says
        whether the reconstruction succeeded. Another network says whether it shows something.
    preset, steps, seed, progress
        As for `invert`; photograph n has the random numbers of seed + n.

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> photographs = [net.read(name) for name in ("chelsea", "coffee")]
    >>> identified(net, photographs, "blocks.2", steps=10).rates
    {'pixels': 1.0, 'efficientnet-lite0 blocks.2': 1.0}
    """
    if len(photographs) < 2 or len({each.shape for each in photographs}) > 1:
        sizes = ", ".join("×".join(map(str, each.shape)) for each in photographs)
        raise ImageError(f"got photographs of {sizes or 'nothing'}; expected two or more, all of one size")
    layer = deepest(network) if layer is None else layer
    teller = network if judge is None else judge
    told_by = judge_layer or (layer if judge is None else deepest(judge))
    made = [
        invert(
            network, each, layer, preset=preset, steps=steps, seed=seed + index,
            progress=part_of(progress, index, len(photographs)),
        )
        for index, each in enumerate(photographs)
    ]  # fmt: skip
    originals, images = torch.stack(list(photographs)).cpu(), torch.cat([each.images for each in made])
    distances = {
        "pixels": torch.cdist(images.flatten(1), originals.flatten(1)),
        f"{teller.name} {told_by}": -_vectors(teller, images, told_by) @ _vectors(teller, originals, told_by).T,
    }
    beside = [] if judge is None else [{"network": judge.name, "weights": judge.weights_sha256}]
    told: dict[str, JSON] = {
        "layer": layer, "judge_layer": judge_layer, "preset": preset, "steps": steps, "beside": beside,
    }  # fmt: skip
    nearest = {name: each.argmin(dim=1) for name, each in distances.items()}
    recipe = network.recipe("identified", told, images=photographs, seed=seed)
    return Identified(originals, images, layer, nearest, recipe)


def _vectors(network: Network, images: Tensor, layer: str) -> Tensor:
    """Codes of images `(N, C, H, W)` as vectors of length 1, `(N, C)`, maps averaged over places."""
    codes = [network.capture(network.prepare(each), [layer])[layer].cpu() for each in images]
    means = torch.stack([each.flatten(1).mean(dim=1) if each.dim() == 3 else each for each in codes])
    return torch.nn.functional.normalize(means, dim=1)
