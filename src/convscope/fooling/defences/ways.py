"""The defences, each as the way to train one network of digits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from convscope.errors import ConvscopeError, nearest
from convscope.fooling.defences.digits import CLASSES, SIDE, digits
from convscope.fooling.defences.kinds import kinds_of
from convscope.fooling.defences.modules import Kinds, convolutional, radial_units
from convscope.fooling.defences.training import (
    Adversarially,
    Batch,
    Changed,
    Loss,
    WithWhatIsNone,
    cross_entropy,
    each_by_itself,
    passes_of,
    train,
)
from convscope.fooling.withstanding import Meter
from convscope.network.heads import Head
from convscope.network.network import Network

NONE = "none"
"""What the class of all that is no digit is called."""

_TRAINED_FOR = 0.15
_KINDS, _CENTRES = 3, 300


@dataclass(frozen=True)
class Way:
    """What is trained and how. `labels` are those of the examples where these are not digits."""

    module: Callable[[Batch], nn.Module]
    changed: Changed | None = None
    loss: Loss = cross_entropy
    head: Head = "softmax"
    rate: float = 2e-3
    kinds: int = 1
    rejects: bool = False

    def passes(self, epochs: int) -> int:
        """Of all its training."""
        return epochs * passes_of(len(digits().images), self.changed)

    def network(self, name: str, *, epochs: int, seed: int, meter: Meter) -> tuple[Network, float]:
        """The network, trained, and how many seconds of the processor that took."""
        seen = digits()
        labels = kinds_of(seen.images, seen.labels, self.kinds, seed) if self.kinds > 1 else seen.labels
        examples = seen.images, labels
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
            torch.manual_seed(seed)
            module = self.module(examples)
        trained = train(
            module, examples, epochs=epochs, seed=seed, meter=meter, changed=self.changed, loss=self.loss,
            rate=self.rate,
        )  # fmt: skip
        whole = Kinds(trained.module, self.kinds).eval() if self.kinds > 1 else trained.module
        names = [*map(str, range(CLASSES)), *([NONE] if self.rejects else [])]
        made = Network(
            whole, input_size=SIDE, channels=1, fit="resize", head=self.head, labels=names, name=f"digits, {name}"
        )
        return made, trained.seconds


WAYS: Mapping[str, Way] = {
    "plain": Way(lambda seen: convolutional()),
    "adversarial": Way(lambda seen: convolutional(), Adversarially(_TRAINED_FOR, steps=5)),
    "negative class": Way(lambda seen: convolutional(CLASSES + 1), WithWhatIsNone(_TRAINED_FOR), rejects=True),
    "radial units": Way(lambda seen: radial_units(seen[0][:_CENTRES]), rate=1e-2),
    "radial answers": Way(lambda seen: convolutional(radial=True), loss=each_by_itself, head="sigmoid"),
    "saturating units": Way(lambda seen: convolutional(unit=nn.Tanh)),
    "more classes": Way(lambda seen: convolutional(_KINDS * CLASSES), kinds=_KINDS),
}
"""By name. The first is what the others are compared with."""


def check_ways(which: Sequence[str] | None) -> tuple[str, ...]:
    """The names in the order of `WAYS`, the first always among them. Raises ConvscopeError for one that isn't there."""
    asked = list(WAYS) if which is None else [which] if isinstance(which, str) else list(which)
    for name in asked:
        if name not in WAYS:
            raise ConvscopeError(f"no defence {name!r}; {nearest(str(name), WAYS)}")
    first = next(iter(WAYS))
    return tuple(name for name in WAYS if name in asked or name == first)
