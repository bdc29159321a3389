"""What all attacks share: images and classes checked, chunks, rounding, what the network answers in the end."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from convscope.errors import ImageError
from convscope.fooling.adversarial import Adversarial
from convscope.fooling.answering import Answering
from convscope.fooling.ball import Ball
from convscope.fooling.classes import class_name
from convscope.fooling.rounding import as_read, rounded, settled
from convscope.fooling.wanted import Classes, Wanted, wanted_of
from convscope.image.check import check_image
from convscope.image.recipe import JSON
from convscope.network.heads import Prediction
from convscope.network.network import Network
from convscope.progress import Steps, Watcher
from convscope.synthesis.start import draws

Images: TypeAlias = Tensor | Sequence[Tensor]
"""An image `(C, H, W)`, a batch `(N, C, H, W)`, or several images of one size."""

_TOP = 5

_FREE = 0.01
"""Of an image's values: if no more have another level within the ball, nothing can be won back. So it is by an epsilon
of 1/510 or less, but for the few values that lie halfway between two levels."""


@dataclass(frozen=True)
class Chunk:
    """Images that are attacked together.

    `starts` `(n, C, H, W)`, what is `wanted` of them, their numbers `at` among all, and random numbers for each.
    """

    starts: Tensor
    wanted: Wanted
    at: Tensor
    answering: Answering
    draws: list[torch.Generator]
    steps: Steps

    def scores(self, images: Tensor) -> Tensor:
        """Logits `(n, K)`."""
        return self.answering.scores(images, self.at)

    def gradient(self, images: Tensor, value: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Logits, and the gradient of `value` of them: by default of the loss that an attack raises."""
        return self.answering.gradient(images, self.at, value or self.wanted.loss)

    def found(self, perturb: "Perturb", ball: Ball | None) -> tuple[Tensor, Tensor]:
        """What `perturb` makes of them, and the levels of a file that keep what that has reached."""
        exact = perturb(self)
        levels, low, high = rounded(exact, self.starts, ball)
        free = ((low < high).flatten(1).double().mean(dim=1) > _FREE).nonzero()[:, 0]
        if len(free):
            some = self.of(free)
            levels[free] = settled(self.answering, some.wanted, some.at, exact[free], some.starts, ball)
        return exact, levels

    def of(self, left: Tensor) -> "Chunk":
        """Some of them alone."""
        here = left.cpu()
        some = [self.draws[each] for each in here.tolist()]
        return Chunk(self.starts[left], self.wanted[left], self.at[here], self.answering, some, self.steps)


Perturb: TypeAlias = Callable[[Chunk], Tensor]
"""From what is attacked together to what it becomes."""


@dataclass(frozen=True)
class Given:
    """What is attacked: images `(N, C, H, W)`, what each is called, and what the network answers to it."""

    images: Tensor
    inputs: Sequence[Tensor]
    single: bool
    before: list[list[Prediction]]
    wanted: Wanted
    targets: list[str] | None

    @classmethod
    @torch.inference_mode(False)
    def checked(cls, network: Network, image: Images, target: Classes | None, label: Classes | None) -> "Given":
        """Raises ImageError and TargetError for what can't be attacked."""
        images, inputs, single = images_of(network, image)
        before = answers(network, images)
        wanted, targets = wanted_of(network, images, target, label, [each[0].index for each in before])
        return cls(images.to(network.device, working(network, images)), inputs, single, before, wanted, targets)


@torch.inference_mode(False)
def attack(
    network: Network,
    given: Given,
    perturb: Perturb,
    *,
    method: str,
    parameters: Mapping[str, JSON],
    ball: Ball | None,
    label: Classes | None,
    steps: int,
    batch: int,
    seed: int | None = None,
    progress: Watcher | None = None,
) -> Adversarial:
    """The adversarial images that `perturb` finds, `batch` at once, rounded so that what they reached is kept."""
    check_counts(steps=steps, batch=batch)
    images = given.images
    count, shape = len(images), (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
    answering = Answering(network, shape, count)
    watched = Steps(steps * math.ceil(count / batch), progress)
    found: list[tuple[Tensor, Tensor]] = []
    for first in range(0, count, batch):
        here = slice(first, min(first + batch, count))
        at = torch.arange(here.start, here.stop)
        random = draws((seed or 0) + first, len(at))
        chunk = Chunk(images[here], given.wanted[here], at, answering, random, watched)
        found.append(chunk.found(perturb, ball))
    exact, levels = (torch.cat(each) for each in zip(*found, strict=True))
    recipe_parameters = {**told_classes(network, given, label), **parameters}
    return finished(
        network, given, exact, levels, answering,
        method=method, parameters=recipe_parameters, batch=batch, seed=seed,
    )  # fmt: skip


def finished(
    network: Network,
    given: Given,
    exact: Tensor,
    levels: Tensor | None,
    answering: Answering,
    *,
    method: str,
    parameters: Mapping[str, JSON],
    batch: int,
    seed: int | None,
    ball: Ball | None = None,
) -> Adversarial:
    """The result, of `levels` or, without them, of the nearest within the ball."""
    held = rounded(exact, given.images, ball)[0] if levels is None else levels
    home = given.inputs[0].device
    images = as_read(held, exact).to(home)
    # One by one, as a file that is read again is: a batch's arithmetic differs in the last digits.
    after = answers(network, images)
    classes = torch.tensor([each[0].index for each in after])
    wanted = given.wanted
    success = classes != wanted.labels.cpu() if wanted.targets is None else classes == wanted.targets.cpu()
    return Adversarial(
        originals=given.images.to(home),
        exact=exact.to(home),
        images=images,
        labels=[class_name(network, index) for index in wanted.labels.tolist()],
        targets=None if wanted.targets is None else [class_name(network, index) for index in wanted.targets.tolist()],
        before=given.before,
        after=after,
        successes=success,
        queries=answering.queries,
        gradients=answering.gradients,
        single=given.single,
        recipe=network.recipe(method, parameters, images=given.inputs, batch=batch, seed=seed),
    )


def told_classes(network: Network, given: Given, label: Classes | None) -> dict[str, JSON]:
    """Targets and labels for a recipe: one where all are alike."""
    told: dict[str, JSON] = {"target": _one_or_all(given.targets)}
    named = None if label is None else [f"class:{index}" for index in given.wanted.labels.tolist()]
    return {**told, "label": _one_or_all(named)}


def images_of(network: Network, image: Images) -> tuple[Tensor, Sequence[Tensor], bool]:
    """A batch, what it was made of, and whether that was one image. Raises ImageError for what is none in [0, 1]."""
    inputs = [image] if isinstance(image, Tensor) else list(image)
    if not inputs:
        raise ImageError("got no images; expected one at least")
    for each in inputs:
        check_image(each, channels=network.channels)
        if not isinstance(image, Tensor) and (each.dim() != 3 or each.shape != inputs[0].shape):
            raise ImageError(
                f"got images of shapes {tuple(inputs[0].shape)} and {tuple(each.shape)}, expected images (C, H, W) of "
                "one size: bring them to it with net.prepare"
            )
        low, high = float(each.min()), float(each.max())
        if not (low >= 0 and high <= 1):
            found = "NaN" if math.isnan(low) else f"values from {low:g} to {high:g}"
            raise ImageError(f"got an image with {found}, expected values in [0, 1]: normalization is the network's")
    single = isinstance(image, Tensor) and image.dim() == 3
    batch = image if isinstance(image, Tensor) and not single else torch.stack(inputs)
    # What was made in inference mode can't be followed, nor can what is computed from it.
    return batch.clone() if batch.is_inference() else batch.detach(), inputs, single


def answers(network: Network, images: Tensor) -> list[list[Prediction]]:
    """The best answers to each image by itself."""
    return [network.predict(each, top=_TOP) for each in images]


def working(network: Network, images: Tensor) -> torch.dtype:
    """The type in which images are changed: no coarser than theirs, the network's, and single precision."""
    return torch.promote_types(torch.promote_types(images.dtype, network.dtype), torch.float32)


def check_counts(**counts: int) -> None:
    """Raise ImageError unless all are 1 at least."""
    for name, value in counts.items():
        if value < 1:
            raise ImageError(f"got {name}={value}, expected 1 at least")


def check_positive(**numbers: float) -> None:
    """Raise ImageError unless all are more than 0."""
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ImageError(f"got {name}={value}, expected more than 0")


def _one_or_all(texts: list[str] | None) -> JSON:
    return None if texts is None else texts[0] if len(set(texts)) == 1 else texts
