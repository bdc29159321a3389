"""What a network's answer is measured by while its image is changed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.attribution.attribution import Attribution
from convscope.errors import ImageError
from convscope.network.network import Network
from convscope.network.target import Target

BATCH = 16
"""Images run at once where nothing else is said: larger batches gain little and fall out of a processor's cache."""


@dataclass(frozen=True)
class Measure:
    """The probability of the class that `target` is; where it is no single class, or has none, its score."""

    network: Network
    target: Target

    @property
    def is_probability(self) -> bool:
        """Whether it is a class with a probability."""
        return self.target.index is not None and self.network.head != "none"

    @property
    def unit(self) -> str:
        """What it is counted in."""
        return "probability" if self.is_probability else self.target.unit

    def __call__(self, batch: Tensor) -> Tensor:
        """The measure of each image `(N, C, H, W)`: `(N,)` in double precision on the processor."""
        answers = self.network.answers(batch, [self.target])
        found = answers.probability(self.target) if self.is_probability else answers.score(self.target)
        return torch.as_tensor(found).double().cpu()


def measure_of(network: Network, image: Tensor, attribution: Attribution) -> Measure:
    """The measure that an attribution of `image` `(C, H, W)` is tested by.

    Raises ImageError where the attribution is of another image, of a batch, or no finite numbers.
    """
    if image.dim() == 4 or attribution.image.dim() == 4:
        raise ImageError("got a batch; maps are tested one by one, each with its own image (C, H, W)")
    if attribution.image.shape != image.shape:
        shapes = f"{tuple(attribution.image.shape)}; got one of {tuple(image.shape)}"
        raise ImageError(f"the attribution is of an image of shape {shapes}: make it of this one, by attribution.again")
    if not torch.equal(attribution.image.to(image), image):
        raise ImageError("the attribution is of another image; make it of this one, by attribution.again")
    if not attribution.values.isfinite().all():
        raise ImageError("the attribution holds NaN or infinity, so its pixels have no order")
    return Measure(network, attribution.asked or network.target(attribution.target, image))


def masked(image: Tensor, masks: Sequence[Tensor] | Tensor, instead: Tensor) -> Tensor:
    """The image `(C, H, W)` with `instead` where each of the masks `(N, H, W)` is true: `(N, C, H, W)`."""
    stacked = masks if isinstance(masks, Tensor) else torch.stack(list(masks))
    return torch.where(stacked[:, None].to(image.device), instead, image)
