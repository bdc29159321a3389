"""What is measured of each network of digits: attacks of its own, others' images, and what is no digit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

from convscope.fooling.adversarial import Adversarial
from convscope.fooling.defences.digits import CLASSES, digits, noise, smooth_noise
from convscope.fooling.pgd import pgd
from convscope.fooling.robustness import Robustness, robustness
from convscope.fooling.share import Share
from convscope.fooling.withstanding import Meter
from convscope.network.heads import probabilities
from convscope.network.network import Network

SURE = 0.9
"""Above this probability an answer is called sure."""

_REACH = 2.5
_BATCH = 100


@dataclass(frozen=True)
class OnNoise:
    """Of images that are no digits: how many are `surely` taken for one, how many are `rejected` as none."""

    surely: Share
    rejected: Share


@dataclass(frozen=True)
class Measured:
    """One network of digits.

    `own` is what attacks by its own gradients leave of its accuracy. `transferred` (one an epsilon) is its accuracy on
    what PGD made against the plain network. `missed` are the digits that these turn at the middle epsilon, but its own
    PGD turns them at none up to that: where there are many, its gradients hide what it errs on. `swapped` are those
    that it takes for another digit after PGD at the middle epsilon, which was led to the likeliest other one.
    """

    own: Robustness
    transferred: tuple[Share, ...]
    missed: Share
    swapped: Share
    noise: OnNoise
    smooth: OnNoise
    made: OnNoise


@dataclass
class Measuring:
    """Measures networks alike: on so many digits that they have not seen, and as many images of noise."""

    epsilons: Sequence[float]
    steps: int
    images: int
    seed: int
    meter: Meter

    @cached_property
    def _digits(self) -> tuple[Tensor, Tensor]:
        return digits().held_out[: self.images], digits().held_out_labels[: self.images]

    @property
    def middle(self) -> float:
        """The epsilon of what is measured at one alone."""
        return self.epsilons[len(self.epsilons) // 2]

    @property
    def passes(self) -> int:
        """Of measuring one network."""
        return self.images * self.steps * (len(self.epsilons) + 2)

    def against(self, network: Network) -> list[Tensor]:
        """The digits as PGD changes them so that this network errs, at each epsilon."""
        images, labels = self._digits
        return [self._pgd(network, images, each, label=labels).images for each in self.epsilons]

    def measured(self, network: Network, others: Sequence[Tensor]) -> Measured:
        """All of one network; `others` are what `against` made of the digits for another."""
        images, labels = self._digits
        share = self.images * self.steps
        own = robustness(
            network, images, classes=labels.tolist(), epsilons=self.epsilons, attacks=("fgsm", "pgd"),
            steps=self.steps, batch=_BATCH, seed=self.seed, progress=self.meter.within(share * len(self.epsilons)),
        )  # fmt: skip
        self.meter.done(share * len(self.epsilons))
        kept = torch.stack([_answers(network, each) == labels for each in others])
        at = self.epsilons.index(self.middle)
        turned = own.withstood[-1, 1 + at] & ~kept[at]
        swapped = self._swapped(network, images, labels)
        self.meter.done(share)
        draw = Generator().manual_seed(self.seed)
        rubbish, smooth = noise(self.images, draw), smooth_noise(self.images, draw)
        made = self._made(network, rubbish)
        self.meter.done(share)
        return Measured(
            own, tuple(_share(each) for each in kept), _share(turned), swapped,
            *(_on_noise(network, each) for each in (rubbish, smooth, made)),
        )  # fmt: skip

    def _swapped(self, network: Network, images: Tensor, labels: Tensor) -> Share:
        led = _likeliest(network, images, labels)
        fine = _answers(network, images) == labels
        swapped = torch.zeros(len(images), dtype=torch.bool)
        if fine.any():
            found = self._pgd(network, images[fine], self.middle, label=labels[fine], target=led[fine])
            answers = _answers(network, found.images)
            swapped[fine] = (answers != labels[fine]) & (answers < CLASSES)
        return _share(swapped)

    def _made(self, network: Network, rubbish: Tensor) -> Tensor:
        """Noise that PGD, at the largest epsilon, leads to a digit that it is not taken for."""
        led = _likeliest(network, rubbish, _answers(network, rubbish))
        return self._pgd(network, rubbish, self.epsilons[-1], target=led).images

    def _pgd(
        self,
        network: Network,
        images: Tensor,
        epsilon: float,
        *,
        label: Tensor | None = None,
        target: Tensor | None = None,
    ) -> Adversarial:
        return pgd(
            network, images, label=label, target=target, epsilon=epsilon, steps=self.steps,
            step=_REACH * epsilon / self.steps, batch=_BATCH, seed=self.seed,
        )  # fmt: skip


def _answers(network: Network, images: Tensor) -> Tensor:
    return network.logits(images).argmax(dim=1)


def _likeliest(network: Network, images: Tensor, but: Tensor) -> Tensor:
    """The likeliest digit of each image but one."""
    logits = network.logits(images).clone()
    logits.scatter_(1, but[:, None], -torch.inf)
    return logits[:, :CLASSES].argmax(dim=1)


def _on_noise(network: Network, images: Tensor) -> OnNoise:
    best = probabilities(network.logits(images), network.head).max(dim=1)
    return OnNoise(_share((best.values > SURE) & (best.indices < CLASSES)), _share(best.indices >= CLASSES))


def _share(found: Tensor) -> Share:
    return Share(int(found.sum()), len(found))
