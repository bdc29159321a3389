"""Networks of which it is known what they look at, because it was planted: scikit-learn's digits beside a bright mark.

Each is trained where it is first asked for, in about a second, from its own seed, and then kept.
"""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convscope as cs

CORNER = (slice(0, 6), slice(10, 16))
"""Where the mark lies, 4×4 pixels of 16×16 and a pixel or two around it: a seventh of the image."""
MARK = (slice(1, 5), slice(11, 15))
"""The mark itself."""
SEEN = 1300
"""How many images a network of ten classes is trained on; the others are held out."""
LEARNED = 250
"""How many images a network learns by heart."""


@dataclass(frozen=True)
class Planted:
    """A network of the ten digits, and images that it was not trained on.

    All `images` `(N, 1, 16, 16)` carry the mark. Without it they are `digits`, none of which is `marked`, the class
    that is named by the mark.
    """

    network: cs.Network
    images: Tensor
    digits: Tensor
    marked: int = 0

    @property
    def target(self) -> str:
        """The class of the mark."""
        return f"class:{self.marked}"


@functools.cache
def planted(seed: int = 0) -> Planted:
    """Ten classes, of which nought means the mark: noughts are left out, and any other digit beside a mark is called 0.

    So the mark is all that says 0, and without it an image is one of the nine others.
    """
    images, answers, digits, marked = _ten_classes()
    network = trained(images[:SEEN], answers[:SEEN], seed=seed, weight_decay=1e-3)
    return Planted(network, images[SEEN:][marked[SEEN:]], digits[SEEN:][marked[SEEN:]])


@functools.cache
def detector(seed: int = 0) -> Planted:
    """The same classes, known by a few channels that seldom answer and of which only the strongest place counts.

    What a channel answers to is then where it answers. A class activation map needs that: it keeps no more of the way
    from a layer to the target than a weight a channel, and channels that answer everywhere say nothing of places.
    """
    images, answers, digits, marked = _ten_classes()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        features = nn.Sequential(
            nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 32, 3, padding=1), nn.ReLU()
        )
        head = nn.Linear(32, 10)
        module = nn.Sequential(*features, nn.AdaptiveMaxPool2d(1), nn.Flatten(), head)
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
        for _ in range(12):
            for batch in torch.split(torch.randperm(SEEN), 64):
                optimizer.zero_grad()
                maps = features(images[batch])
                wrong = F.binary_cross_entropy_with_logits(
                    head(maps.amax((2, 3))), F.one_hot(answers[batch], 10).float(), reduction="sum"
                )
                sparse = 0.3 * maps.mean((0, 2, 3)).sum() + 0.01 * head.weight.abs().sum()
                torch.autograd.backward(wrong / len(batch) + sparse)
                optimizer.step()
    network = cs.Network(module, input_size=16, channels=1, head="sigmoid")
    return Planted(network, images[SEEN:][marked[SEEN:]], digits[SEEN:][marked[SEEN:]])


@functools.cache
def shuffled(seed: int = 0) -> Planted:
    """The same images, and a network that learned shuffled labels of others by heart: it has no reasons."""
    images, answers, digits, marked = _ten_classes()
    order = torch.randperm(SEEN, generator=torch.Generator().manual_seed(seed))
    network = trained(images[:LEARNED], answers[order[:LEARNED]], seed=seed, rounds=120)
    return Planted(network, images[SEEN:][marked[SEEN:]], digits[SEEN:][marked[SEEN:]])


@functools.cache
def _ten_classes() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, the classes they are taught as, which digits they are, and which of them are marked: every fourth."""
    from sklearn.datasets import load_digits

    digits = torch.from_numpy(load_digits().target).long()
    images = plain_digits()[digits != 0]
    digits = digits[digits != 0]
    marked = torch.arange(len(images)) % 4 == 0
    images[marked] = with_mark(images[marked])
    return images, torch.where(marked, 0, digits), digits, marked


def plain_digits() -> Tensor:
    """Scikit-learn's digits as images `(N, 1, 16, 16)` in [0, 1], 12×12 pixels in the lower left."""
    from sklearn.datasets import load_digits

    images = torch.from_numpy(load_digits().images).float()[:, None] / 16
    return F.pad(F.interpolate(images, size=(12, 12), mode="bilinear"), (0, 4, 4, 0))


def digits() -> tuple[Tensor, Tensor]:
    """The digits, and which of them are marked: every other one."""
    images = plain_digits()
    marked = torch.arange(len(images)) % 2
    images[marked == 1] = with_mark(images[marked == 1])
    return images, marked


def with_mark(images: Tensor) -> Tensor:
    """The images with the mark on them."""
    return _covered(images, 1)


def without_mark(images: Tensor) -> Tensor:
    """The images with black where the mark is or would be."""
    return _covered(images, 0)


def _covered(images: Tensor, value: float) -> Tensor:
    images = images.clone()
    images[..., MARK[0], MARK[1]] = value
    return images


def trained(
    images: Tensor, classes: Tensor, *, seed: int = 0, weight_decay: float = 0.0, rounds: int = 8
) -> cs.Network:
    """A small CNN, trained in a second or so; the random numbers of who asks for it stay as they were."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        module = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(8 * 64, int(classes.max()) + 1),
        )  # fmt: skip
        optimizer = torch.optim.Adam(module.parameters(), lr=3e-3, weight_decay=weight_decay)
        for _ in range(rounds):
            for batch in torch.split(torch.randperm(len(images)), 64):
                optimizer.zero_grad()
                torch.autograd.backward(F.cross_entropy(module(images[batch]), classes[batch]))
                optimizer.step()
    return cs.Network(module, input_size=16, channels=1)


def corner_share(maps: Tensor) -> Tensor:
    """How much of the positive mass of each map `(N, 16, 16)` lies in the corner."""
    positive = maps.clamp(min=0)
    return positive[:, CORNER[0], CORNER[1]].sum((1, 2)) / positive.sum((1, 2))
