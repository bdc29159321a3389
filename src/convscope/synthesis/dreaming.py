"""How a dream goes: octaves from small to large, a few steps uphill on each. Shared by pictures and films."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from convscope.errors import ImageError, LayerError, StepFailed, Stopped, TargetError
from convscope.image.check import check_image
from convscope.image.recipe import JSON
from convscope.image.resize import resize
from convscope.network.network import Network
from convscope.network.stages import middle_layer, stage_ends
from convscope.network.target import TargetLike
from convscope.progress import Steps
from convscope.synthesis.failing import out_of_memory
from convscope.synthesis.objectives import Objective, asked, energy
from convscope.synthesis.objectives.guided import guided
from convscope.synthesis.optimizers.ascent import normalized
from convscope.synthesis.tiled import Size, Uphill, tile_for

Wanted = TargetLike | Objective | Sequence[TargetLike | Objective] | None
"""What a dream is of: a layer, a target, an objective, or several; None for a layer that shows parts of things."""

SMALLEST = 4
"""Pixels of the shorter side of the smallest octave: on less there is nothing to see."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How to dream; see `dream` for what each is. Raises ImageError for what is out of range."""

    octaves: int
    scale: float
    steps: int
    jitter: int
    rate: float
    tile: int | None

    def __post_init__(self) -> None:
        for name, least in (("octaves", 1), ("steps", 1), ("jitter", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ImageError(f"got {name}={value!r}, expected a whole number of at least {least}")
        if not 1 < self.scale < float("inf"):
            raise ImageError(f"got scale={self.scale}, expected more than 1, such as 1.4: how much larger an octave is")
        if not 0 < self.rate < float("inf"):
            raise ImageError(f"got rate={self.rate}, expected more than 0, such as 0.006: what a pixel moves in a step")

    def sizes(self, size: Size) -> list[Size]:
        """Rows and columns of each octave, from the smallest to the picture's own.

        >>> Manner(octaves=3, scale=2, steps=1, jitter=0, rate=0.01, tile=None).sizes((40, 60))
        [(10, 15), (20, 30), (40, 60)]
        """
        rows, columns = size
        found = [
            (round(rows / self.scale**below), round(columns / self.scale**below))
            for below in reversed(range(self.octaves))
        ]
        if min(found[0]) < SMALLEST:
            raise ImageError(
                f"a picture of {rows} × {columns} in {self.octaves} octaves would begin with {found[0][0]} × "
                f"{found[0][1]}, expected at least {SMALLEST} × {SMALLEST}: take fewer octaves, or a larger picture"
            )
        return found

    def parameters(self) -> dict[str, JSON]:
        """As keyword arguments."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class Dreaming:
    """Dreams of one objective, of one picture after another; what runs the network is made once for each size."""

    def __init__(self, network: Network, objective: Objective, manner: Manner) -> None:
        self._network, self._manner = network, manner
        self.channels, self.steps = network.channels, manner.octaves * manner.steps
        self._uphill = Uphill(network, objective, tile=manner.tile)

    def __call__(self, photograph: Tensor, draw: Generator, steps: Steps) -> tuple[Tensor, Tensor]:
        """The dream `(C, H, W)` of a photograph of that shape, and the objective at each step, `(steps,)`.

        Raises
        ------
        StepFailed, Cancelled
            With the last good picture `(1, C, H, W)`, of the photograph's size, in `so_far`.
        """
        own = photograph.to(self._network.device, self._network.dtype)[None]
        values: list[Tensor] = []
        picture, detail = own, None
        for size in self._manner.sizes((own.shape[-2], own.shape[-1])):
            base = own if size == tuple(own.shape[-2:]) else resize(own, size)
            # What was dreamt so far, larger, on the photograph with more of its own detail.
            picture = base if detail is None else (base + _scaled(detail, size)).clamp_(0, 1)
            try:
                for _ in range(self._manner.steps):
                    picture, value = self._step(picture, draw, len(values))
                    values.append(value)
                    steps.done(preview=picture)
            except Stopped as stopped:
                stopped.so_far = (own + _scaled(stopped.so_far - base, (own.shape[-2], own.shape[-1]))).clamp(0, 1)
                raise
            detail = picture - base
        return picture[0].to(photograph), torch.stack(values).cpu()

    def _step(self, picture: Tensor, draw: Generator, done: int) -> tuple[Tensor, Tensor]:
        """One step uphill, seen from a place a few pixels aside, so that no pixel always lies at the same one."""
        jitter = self._manner.jitter
        down, across = torch.randint(-jitter, jitter + 1, (2,), generator=draw).tolist()
        moved = picture.roll((down, across), dims=(2, 3))
        try:
            value, gradient = self._uphill(moved, draw)
            if not gradient.any():
                value, gradient = self._uphill(moved, draw, redirect=True)
        except (RuntimeError, MemoryError) as error:
            reason = out_of_memory(error)
            if reason is None:
                raise
            advice = f"memory ran out ({reason}); take smaller tiles, such as tile=256, or a smaller picture"
            raise self._failed(done, advice, picture) from error
        if not (value.isfinite() and gradient.isfinite().all()):
            advice = "the objective or its gradient is no number; is there one in the picture, or the weights?"
            raise self._failed(done, advice, picture)
        moved = moved.add_(normalized(gradient), alpha=self._manner.rate).clamp_(0, 1)
        return moved.roll((-down, -across), dims=(2, 3)), value

    def _failed(self, done: int, what: str, picture: Tensor) -> StepFailed:
        return StepFailed(f"step {done + 1} of {self.steps}: {what}", so_far=picture)


def check_photograph(network: Network, photograph: Tensor) -> None:
    """Raise ImageError unless it is one image of the network's channels."""
    check_image(photograph, channels=network.channels)
    if photograph.dim() != 3:
        raise ImageError(f"got a batch of shape {tuple(photograph.shape)}, expected one image (C, H, W): choose one")


def manner_for(
    network: Network, objective: Objective, size: Size, *, tile: int | None, octaves: int, scale: float, steps: int,
    jitter: int, rate: float,
) -> Manner:  # fmt: skip
    """A manner whose tile is chosen where none is given, so that a recipe holds what was really done."""
    tile = tile_for(network, objective, size) if tile is None else tile
    return Manner(octaves=octaves, scale=scale, steps=steps, jitter=jitter, rate=rate, tile=tile)


def dream_objective(network: Network, wanted: Wanted, guide: Tensor | None) -> tuple[list[str], Objective]:
    """What a dream climbs, and as texts what it was asked for.

    Raises LayerError where a guide is given and the target is more than one layer.
    """
    several = [middle_layer(network)] if wanted is None else wanted
    several = [several] if isinstance(several, str) or not isinstance(several, Sequence) else several
    if not several:
        raise TargetError("got no target; expected a layer, a target, an objective, or several of these")
    if guide is None:
        pairs = [_objective(network, one) for one in several]
        total = pairs[0][1]
        for _, each in pairs[1:]:
            total = total + each
        return [text for text, _ in pairs], total
    (layer, *others) = several
    if others or not isinstance(layer, str) or layer not in network.layers or not network.layers[layer].has_space:
        got = ", ".join(str(getattr(each, "text", each)) for each in several)
        raise LayerError(
            f"a guide is followed at one layer with maps, got {got}; name one such as {stage_ends(network)[0]}"
        )
    check_photograph(network, guide)
    return [layer], guided(layer, network.capture(network.prepare(guide), [layer])[layer])


def signed_layers(network: Network, texts: Sequence[str], photograph: Tensor) -> list[str]:
    """Of these, the layers that answer to the photograph with negative values, too."""
    layers = [text for text in texts if text in network.layers]
    captured = network.capture(network.prepare(photograph), layers) if layers else {}
    return [name for name, values in captured.items() if (values < 0).any()]


def _objective(network: Network, wanted: TargetLike | Objective) -> tuple[str, Objective]:
    if isinstance(wanted, Objective):
        return wanted.text, wanted
    if isinstance(wanted, str) and wanted in network.layers:
        return wanted, energy(wanted)
    target = network.target(wanted)
    return target.text, asked(target)


def _scaled(detail: Tensor, size: Size) -> Tensor:
    """What was added to a picture, at another size. Not by `resize`, which would cut off what is below 0."""
    if tuple(detail.shape[-2:]) == size:
        return detail
    return F.interpolate(detail, size=size, mode="bicubic", align_corners=False)
