"""Adversarial patch: a sticker that makes a class of whatever it lies on (Brown et al. 2017)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from convscope.errors import ImageError
from convscope.fooling.adversarial import told
from convscope.fooling.answering import Answering
from convscope.fooling.attack import Images, answers, check_counts, check_positive, images_of, working
from convscope.fooling.classes import class_name, class_of
from convscope.fooling.rounding import LEVELS, as_read
from convscope.fooling.wanted import Wanted, check_classes
from convscope.image.recipe import JSON, Recipe
from convscope.image.write import to_picture
from convscope.network.heads import Prediction
from convscope.network.network import Network
from convscope.network.target import TargetLike
from convscope.progress import Steps, Watcher
from convscope.render.grid import grid
from convscope.render.result import Pictured
from convscope.synthesis.optimizers import OPTIMIZERS
from convscope.synthesis.parameterizations.fourier import Fourier
from convscope.synthesis.parameterizations.natural import Shape
from convscope.synthesis.start import draws

_FORM = Fourier()
"""What is changed of a patch in place of its pixels."""

_TRIED = 10_000_000
"""Added to the seed for the places where a patch is tried: others than those it was made with."""


@dataclass(frozen=True)
class Placing:
    """Where a round patch may lie: how large it is, as a part of the image's shorter side, and how far it may turn."""

    smallest: float
    largest: float
    degrees: float

    def on(self, images: Tensor, patch: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
        """The images `(n, C, H, W)` with the patch `(1, C, p, p)` somewhere on each; gradients flow to it."""
        rows, columns = images.shape[-2:]
        theta = torch.stack([self._matrix(rows, columns, each) for each in draws]).to(images)
        where = affine_grid(theta, list(images.shape), align_corners=False)
        disc = _disc(patch)
        both = torch.cat([patch * disc, disc], dim=1).expand(len(images), -1, -1, -1)
        seen = grid_sample(both, where, mode="bilinear", padding_mode="zeros", align_corners=False)
        return images * (1 - seen[:, -1:]) + seen[:, :-1]

    def _matrix(self, rows: int, columns: int, draw: torch.Generator) -> Tensor:
        """From places of the image to places of the patch, both from -1 to 1."""
        size, turn, down, along = torch.rand(4, generator=draw, dtype=torch.float64).tolist()
        side = (self.smallest + (self.largest - self.smallest) * size) * min(rows, columns)
        angle = math.radians(self.degrees * (2 * turn - 1))
        y, x = (2 * down - 1) * (1 - side / rows), (2 * along - 1) * (1 - side / columns)
        across, high = columns / side, rows / side
        cosine, sine = math.cos(angle), math.sin(angle)
        matrix = torch.tensor([[cosine * across, sine * high], [-sine * across, cosine * high]], dtype=torch.float64)
        return torch.cat([matrix, -(matrix @ torch.tensor([[x], [y]], dtype=torch.float64))], dim=1)


@dataclass(frozen=True, kw_only=True)
class AdversarialPatch(Pictured):
    """A round patch, `patch` `(C, p, p)` in [0, 1] as an 8-bit file holds it.

    `images` `(N, C, H, W)` are pictures with it at places where it had not been when it was made, as files hold them;
    `after` what the network answers to each and `successes` `(N,)` whether that is the `target`. `queries` and
    `gradients` are the forward and backward passes of single images that making it took.
    """

    patch: Tensor
    target: str
    images: Tensor
    after: Sequence[Sequence[Prediction]]
    successes: Tensor
    queries: int
    gradients: int
    recipe: Recipe

    @property
    def rate(self) -> float:
        """The share of tries that succeeded."""
        return float(self.successes.double().mean())

    def picture(self, *, figure: bool = False) -> Image.Image:
        """The patch on white, to be printed and cut out; or a figure of it on the images where it was tried."""
        disc = _disc(self.patch[None])[0]
        alone = to_picture(self.patch * disc + (1 - disc))
        if not figure:
            return alone
        pictures = [alone, *(to_picture(each) for each in self.images)]
        return grid(pictures, labels=[f"patch, {self.rate:.0%} {self.target}", *map(told, self.after)])


@torch.inference_mode(False)
def adversarial_patch(
    network: Network,
    images: Images,
    target: TargetLike,
    *,
    size: tuple[float, float] = (0.3, 0.5),
    degrees: float = 22.5,
    pixels: int | None = None,
    steps: int = 200,
    rate: float = 0.05,
    tries: int = 4,
    seed: int = 0,
    batch: int = 8,
    progress: Watcher | None = None,
) -> AdversarialPatch:
    """A round patch that makes a class of whatever picture it lies on, wherever it lies (Brown et al. 2017).

        argmax over p of the expectation over x, place, size and angle of log P(target | A(p, x, place, size, angle))

    A puts the patch p on the image x. Each step draws a batch of images, and for each of them where and how p lies.
    Adam changes the Fourier coefficients of p, scaled as those of photographs are, and not its pixels: what p shows is
    then of all sizes and outlasts being made smaller. Pixels took three times as many images for as much.

    Parameters
    ----------
    images
        `(N, C, H, W)` in [0, 1], or several of one size; the more the better.
    target
        The class: a label, `class:N` or an index.
    size
        The least and the largest diameter, as parts of the image's shorter side.
    degrees
        How far it may be turned either way.
    pixels
        The patch's own side; by default what the largest has on the image.
    steps, rate
        Of Adam.
    tries
        How often it is tried on each image at the end.
    seed
        Of images and places.
    batch
        Images a step.
    progress
        Called after each step with the patch; returning False stops.

    Raises
    ------
    Cancelled, StepFailed, ImageError, TargetError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> adversarial_patch(net, net.read("chelsea"), "toaster", steps=2, tries=1, batch=1).patch.shape
    torch.Size([3, 112, 112])
    """
    check_counts(steps=steps, tries=tries, batch=batch)
    check_positive(rate=rate)
    if not 0 < size[0] <= size[1] <= 1 or not 0 <= degrees <= 180:
        raise ImageError(f"got size={tuple(size)}, degrees={degrees}; expected 0 < least <= largest <= 1, and 0 to 180")
    batched, inputs, _ = images_of(network, images)
    check_classes(network)
    index, text = class_of(network, target)
    starts = batched.to(network.device, working(network, batched))
    side = round(size[1] * min(starts.shape[-2:])) if pixels is None else pixels
    check_counts(pixels=side)
    placing = Placing(size[0], size[1], degrees)
    answering = Answering(network, (starts.shape[1], starts.shape[2], starts.shape[3]), len(starts))
    shape = (int(starts.shape[1]), side, side)
    parameters = _FORM.start(starts.new_full((1, *shape), 0.5))
    climb, watched = OPTIMIZERS["adam"](rate=rate).over(parameters), Steps(steps, progress)
    for step in range(steps):
        random = draws(seed + step * batch, batch)
        at = torch.stack([torch.randint(len(starts), (), generator=each) for each in random])
        drawn = _Drawn(starts[at.to(starts.device)], at, random)
        climb.step(partial(_expected, answering, placing, parameters, shape, drawn, index), 1.0)
        watched.done(preview=_FORM.images(parameters, shape)[0])
    held = as_read((_FORM.images(parameters, shape) * LEVELS).round(), starts)
    tried = _tried(placing, held, starts, seed + _TRIED, tries)
    after = answers(network, tried)
    told_of: dict[str, JSON] = {
        "target": text, "size": list(size), "degrees": degrees, "pixels": side, "steps": steps, "rate": rate,
        "tries": tries,
    }  # fmt: skip
    return AdversarialPatch(
        patch=held[0].to(batched.device),
        target=class_name(network, index) if network.labels else text,
        images=tried.to(batched.device),
        after=after,
        successes=torch.tensor([each[0].index == index for each in after]),
        queries=int(answering.queries.sum()),
        gradients=int(answering.gradients.sum()),
        recipe=network.recipe("adversarial_patch", told_of, images=inputs, batch=batch, seed=seed),
    )


@dataclass(frozen=True)
class _Drawn:
    """A step's images, their numbers among all, and what tells where the patch lies on each."""

    images: Tensor
    at: Tensor
    random: Sequence[torch.Generator]


def _expected(
    answering: Answering, placing: Placing, parameters: Tensor, shape: Shape, drawn: _Drawn, index: int
) -> tuple[Tensor, Tensor]:
    """The mean of log P(target), `(1,)`, over images with the patch on them, and its gradient by the parameters."""
    with torch.inference_mode(False), torch.enable_grad():
        own = parameters.detach().clone().requires_grad_()
        seen = placing.on(drawn.images, _FORM.images(own, shape), drawn.random)
        classes = torch.full((len(seen),), index, device=seen.device)
        wanted = Wanted(classes, classes)
        scores, slope = answering.gradient(seen.detach(), drawn.at, wanted.loss)
        (gradient,) = torch.autograd.grad(seen, own, slope / len(seen))
    return wanted.loss(scores).mean()[None], gradient


def _tried(placing: Placing, patch: Tensor, starts: Tensor, seed: int, tries: int) -> Tensor:
    """Each image so many times, with the patch at a new place, as files hold them."""
    several = starts.repeat_interleave(tries, dim=0)
    seen = placing.on(several, patch, draws(seed, len(several)))
    return as_read((seen * LEVELS).round().clamp(0, LEVELS), starts)


def _disc(patch: Tensor) -> Tensor:
    """1 within the circle and 0 without, `(1, 1, p, p)`."""
    side = patch.shape[-1]
    along = (torch.arange(side, device=patch.device, dtype=patch.dtype) + 0.5) / side * 2 - 1
    return (along[:, None] ** 2 + along**2 <= 1).to(patch.dtype)[None, None]
