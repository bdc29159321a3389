"""Which images an attack can't turn: attacks of growing strength, each at growing epsilons."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convscope.errors import Cancelled, ConvscopeError, ImageError, nearest
from convscope.fooling.answering import Answering
from convscope.fooling.attack import Chunk, check_counts, images_of, working
from convscope.fooling.ball import Ball, Norm
from convscope.fooling.pgd import REACH
from convscope.fooling.rounding import as_read
from convscope.fooling.stepping import stepping
from convscope.fooling.wanted import Wanted
from convscope.network.network import Network
from convscope.progress import Progress, Steps, Watcher
from convscope.synthesis.start import draws

NAMES: Mapping[str, str] = {"fgsm": "FGSM", "bim": "BIM", "pgd": "PGD"}
"""The attacks from the weakest to the strongest, and what they are called."""


def check_attacks(attacks: Sequence[str]) -> tuple[str, ...]:
    """The names, each once, the weakest first. Raises ConvscopeError for no attack, or one that isn't known."""
    asked = [attacks] if isinstance(attacks, str) else list(attacks)
    for name in asked:
        if name not in NAMES:
            raise ConvscopeError(f"no attack {name!r}; {nearest(str(name), NAMES)}")
    if not asked:
        raise ConvscopeError(f"got no attack; expected some of {', '.join(NAMES)}")
    return tuple(name for name in NAMES if name in asked)


@dataclass
class Trial:
    """How a network is attacked; `epsilons` grow, `attacks` too, `steps` are those of BIM and PGD.

    `answering` is the network made ready once for all attacks on all images.
    """

    network: Network
    answering: Answering
    epsilons: Sequence[float]
    attacks: Sequence[str]
    norm: Norm
    steps: int
    seed: int
    meter: "Meter"

    @classmethod
    def checked(
        cls,
        network: Network,
        epsilons: Sequence[float],
        attacks: Sequence[str],
        norm: Norm,
        steps: int,
        seed: int,
        images: int,
        progress: Watcher | None,
    ) -> "Trial":
        """For so many `images`. Raises ImageError and ConvscopeError for what can't be tried."""
        check_counts(steps=steps)
        for each in epsilons:
            Ball.checked(norm, each, torch.zeros(1))
        grown = sorted({float(each) for each in epsilons} - {0.0})
        if not grown:
            raise ImageError(f"got epsilons {list(epsilons)}, expected one above 0 at least: 2/255, say")
        names = check_attacks(attacks)
        cost = 1 + len(grown) * sum(1 if name == "fgsm" else steps for name in names)
        answering = Answering(network, (network.channels, *network.input_size), images)
        return cls(network, answering, grown, names, norm, steps, seed, Meter(images * cost, progress))

    def withstood(self, images: Tensor, classes: Tensor, first: int) -> Tensor:
        """Whether each of the images is taken for what it is, `(attacks, 1 + epsilons, n)`; number `first` begins.

        At 0 unharmed, then after all attacks that are no stronger, at all epsilons that are no larger.
        """
        batch, _, _ = images_of(self.network, images)
        device = self.network.device
        starts, wanted = batch.to(device, working(self.network, batch)), Wanted(classes.to(device), None)
        right = self.answering.classes(starts) == classes
        self.meter.done(len(images))
        standing = [right.clone() for _ in self.attacks]
        found = [torch.stack(standing)]
        for epsilon in self.epsilons:
            for number, name in enumerate(self.attacks):
                if number:
                    standing[number] &= standing[number - 1]
                self._attack(name, epsilon, starts, wanted, standing[number], first)
            found.append(torch.stack(standing))
        return torch.stack(found, dim=1)

    def _attack(self, name: str, epsilon: float, starts: Tensor, wanted: Wanted, standing: Tensor, first: int) -> None:
        """Attack those that are `standing`, and note which have fallen."""
        left = standing.nonzero()[:, 0]
        steps = 1 if name == "fgsm" else self.steps
        passes = len(starts) * steps
        if len(left):
            at, random = torch.arange(first, first + len(starts)), draws(self.seed + first, len(starts))
            watched = Steps(steps, self.meter.within(passes))
            some = Chunk(starts, wanted, at, self.answering, random, watched).of(left.to(starts.device))
            ball = Ball(self.norm, epsilon)
            alpha = epsilon if name == "fgsm" else REACH * epsilon / steps
            exact, levels = some.found(stepping(ball, alpha, steps, anywhere=name == "pgd"), ball)
            standing[left] = self.answering.classes(as_read(levels, exact)) == some.wanted.labels.cpu()
        self.meter.done(passes)


@dataclass
class Meter:
    """Counts passes of many attacks, so many in all, and tells a watcher as if they were one piece of work."""

    total: int
    watcher: Watcher | None
    reached: int = 0
    begun: float = field(default_factory=time.perf_counter)

    def within(self, passes: int) -> Watcher | None:
        """The watcher of an attack that counts as so many passes."""
        watcher = self.watcher
        if watcher is None:
            return None

        def watch(own: Progress) -> bool | None:
            done = self.reached + passes * own.done // own.total
            return watcher(Progress(done, self.total, time.perf_counter() - self.begun))

        return watch

    def done(self, passes: int) -> None:
        """Note that these are behind. Raises `Cancelled` if the watcher says so."""
        self.reached += passes
        now = Progress(self.reached, self.total, time.perf_counter() - self.begun)
        if self.watcher is not None and self.watcher(now) is False:
            raise Cancelled(f"stopped after {self.reached} of {self.total} passes")
